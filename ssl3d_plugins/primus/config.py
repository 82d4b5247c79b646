"""Options of the backbone `primus`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from ssl3d.geometry import Operation, PerAxis, Stage, Triple, divides, quotient, show
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.export_config import ExportConfig
from ssl3d.plugin.section import Presets
from ssl3d_plugins.primus.export_config import ToNnssl
from ssl3d_plugins.primus.heads import check_heads

Size = Literal["S", "B", "M", "L"]

SIZES: dict[str, dict[str, int]] = {
    "S": {"width": 396, "depth": 12, "heads": 6},
    "B": {"width": 792, "depth": 12, "heads": 12},
    "M": {"width": 864, "depth": 16, "heads": 12},
    "L": {"width": 1056, "depth": 24, "heads": 16},
}
"""As published (arXiv 2503.01835, and dynamic_network_architectures 0.4.4)."""


class Primus(BackboneConfig):
    """nnU-Net's transformer (arXiv 2503.01835): one token for each patch, blocks of EVA-02.

    Only visible tokens are encoded. There is one stage, so decoders are `eva` in pre-training and
    `patch` in fine-tuning. Weights go to and from `PrimusS` to `PrimusL` of nnU-Net's
    dynamic_network_architectures by name.
    """

    builds = "ssl3d_plugins.primus.backbone:PrimusBackbone"
    exports: ClassVar[tuple[type[ExportConfig], ...]] = (ToNnssl,)
    presets: ClassVar[Presets] = {"size": SIZES}

    name: Literal["primus"] = "primus"
    size: Size | None = Field(
        default=None,
        description="width, depth and heads as published: 26, 97, 151 and 331 million parameters "
        "at 160³. Others are refused; none: any are taken",
    )
    width: int = Field(
        default=864,
        ge=6,
        le=65536,
        description="channels of a token; default: those of M",
        json_schema_extra={"unit": "channels"},
    )
    depth: int = Field(default=16, ge=1, le=256, description="blocks")
    heads: int = Field(
        default=12, ge=1, le=1024, description="attention heads; each has a multiple of 6 channels"
    )
    patch: PerAxis = Field(
        default=(8, 8, 8),
        description="voxels of a token (z, y, x): kernel and stride of the patch embedding",
        json_schema_extra={"unit": "voxels"},
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

    @field_validator("heads")
    @classmethod
    def _heads(cls, value: int, info: ValidationInfo) -> int:
        if "width" in info.data:
            check_heads(info.data["width"], value)
        return value

    @field_validator("patch")
    @classmethod
    def _patch(cls, value: Triple) -> Triple:
        if not all(1 <= edge <= 64 for edge in value):
            raise ValueError(f"given {show(value)}; each must be a whole number from 1 to 64")
        return value

    @field_validator("volume")
    @classmethod
    def _volume(cls, value: Triple, info: ValidationInfo) -> Any:
        patch = info.data.get("patch")
        if patch is not None and not divides(patch, value):
            raise ValueError(
                f"given {show(value)}; each must be a multiple of the patch {show(patch)}"
            )
        return value

    @property
    def grid(self) -> Triple:
        """Tokens of the table of positions, (z, y, x)."""
        return quotient(self.volume, self.patch)

    def embedding(self, *, in_channels: int = 1) -> Operation:
        """The patch embedding."""
        return Operation.convolution(
            (in_channels, self.width), kernel=self.patch, stride=self.patch
        )

    def stages(self) -> tuple[Stage, ...]:
        """One: the tokens."""
        return (Stage(self.patch, self.width),)

    def operations(self) -> tuple[Operation, ...]:
        """The patch embedding; one input channel assumed."""
        return (self.embedding(),)

    def warnings(self, *, patch: Triple) -> Iterable[str]:
        """A table of positions for volumes of another size."""
        if patch != self.volume:
            yield (
                f"the learned table of positions is for volumes of {show(self.volume)} (the option "
                f"volume), and is interpolated for crops of {show(patch)}"
            )
