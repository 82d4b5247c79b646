"""The `normalisation` part of a spec: how target patches are normalised. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl3d.plugin.section import Section


class NormalisationSpec(Section):
    """Mean and variance of each cell, for `target: patch_normalised`."""

    channels: Literal["each", "joint"] = Field(
        default="each",
        description="over the voxels of each channel by itself, or of all channels together, as "
        "masked autoencoders and SparK have it",
    )
    unbiased: bool = Field(
        default=False,
        description="variance with one taken off the count of values, as in their public code",
    )
