"""Options of the decoder `patch`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl3d.kinds.decoder_config import DecoderConfig


class Patch(DecoderConfig):
    """From each site of the deepest stage to its own voxels, for backbones of one stage.

    Transposed convolutions with a layer norm and GELU between them, as Primus has them
    (arXiv 2503.01835), or one linear map.
    """

    builds = "ssl3d_plugins.decoders.patch_decoder:PatchDecoder"
    name: Literal["patch"] = "patch"
    head: Literal["transposed", "linear"] = Field(
        default="transposed",
        description="transposed: one transposed convolution for each doubling of the size; "
        "linear: one linear map from a site to its voxels",
    )
