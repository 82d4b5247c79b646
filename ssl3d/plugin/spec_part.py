"""Base of the parts of a spec that are no plugin, and the `decoder` part. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SpecPart(BaseModel):
    """Base of the parts: frozen, and unknown options are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class DecoderSpec(SpecPart):
    """The light decoder of SparK (arXiv 2301.03580, section 3.3), used in pre-training only."""

    width: int | None = Field(
        default=None,
        ge=8,
        description="channels at the deepest stage, halved at each finer scale; default: a quarter "
        "of the deepest stage's channels",
        json_schema_extra={"unit": "channels"},
    )
    head_stride: int = Field(
        default=8,
        ge=1,
        description="in voxels: decode up to the first scale whose stride is at most this on every "
        "axis, and restore its voxels with one linear map. 1 is the paper's decoder, which goes up "
        "to full resolution and can cost more than the visible encoder",
        json_schema_extra={"unit": "voxels"},
    )
    densify: bool = Field(
        default=True,
        description="norm and projection of each stage before the decoder; false adds the bare "
        "features through a 1 x 1 x 1 projection where widths differ",
    )
    norm: Literal["layer", "batch", "instance"] = Field(
        default="layer", description="norm of densify, over visible sites"
    )
    token: bool = Field(
        default=True, description="a learned token of each stage where cells are hidden; false: 0"
    )
