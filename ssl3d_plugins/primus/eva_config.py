"""Options of the decoder `eva`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from ssl3d.geometry import PerAxis, Stage, Triple, show
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.plugin.config import Problem
from ssl3d_plugins.primus.heads import PAIRS, check_heads, usual_heads


class Eva(DecoderConfig):
    """A few EVA-02 blocks over all tokens of the deepest stage, then each token's own voxels.

    A learned token stands where cells are hidden. It is the decoder of nnssl's masked
    auto-encoder for Primus; the way from tokens to voxels is that of `patch`.
    """

    builds = "ssl3d_plugins.primus.eva_decoder:EvaDecoder"
    name: Literal["eva"] = "eva"
    depth: int = Field(default=2, ge=1, le=256, description="blocks")
    heads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="attention heads; each has a multiple of 6 channels. default: as many as leave "
        "each 66 channels or more, which are the backbone's in Primus",
    )
    volume: PerAxis = Field(
        default=(160, 160, 160),
        description="size of the volumes (z, y, x) that the learned table of positions has an "
        "entry for each token of; for volumes of another size it is interpolated trilinearly",
        json_schema_extra={"unit": "voxels"},
    )
    drop_path: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="chance that training leaves out the last block for a sample; it grows from 0 "
        "over the blocks (arXiv 1603.09382)",
    )

    def heads_of(self, width: int) -> int:
        """The attention heads for a stage of this width."""
        return self.heads or usual_heads(width)

    def warnings(self, *, patch: Triple) -> Iterable[str]:
        """A table of positions for volumes of another size."""
        if patch != self.volume:
            yield (
                f"the learned table of positions is for volumes of {show(self.volume)} (the option "
                f"volume), and is interpolated for crops of {show(patch)}"
            )

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:
        """A width that its heads do not share out."""
        width = stages[-1].channels
        try:
            check_heads(width, self.heads_of(width))
        except ValueError as error:
            name = "heads" if width % PAIRS == 0 else "name"
            yield Problem(name, f"the deepest stage of the backbone has {error}")
