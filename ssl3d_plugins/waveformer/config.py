"""Options of the backbone `waveformer`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from ssl3d.component import BackboneConfig, Problem
from ssl3d.geometry import Operation, PerAxis, Stage, Triple, divides, quotient, times
from ssl3d_plugins.waveformer.levels import band_names, block_of, deepest_level, depth_problems
from ssl3d_plugins.waveformer.names import check_wavelet, is_haar

if TYPE_CHECKING:
    from ssl3d_plugins.waveformer.backbone import WaveFormerBackbone


class WaveFormer(BackboneConfig):
    """A hierarchy of transformer stages that attend over the coarsest wavelet sub-band.

    Block: `x + IDWT(attention(LLL of DWT(norm(x))), details)`, then `x + FFN(norm(x))`
    (WaveFormer, arXiv 2503.23764, section 3). By default each stage attends over one token for
    each block of the size of the total stride, so its cost does not grow with resolution.
    Options that are left out follow from `widths`.
    """

    name: Literal["waveformer"] = "waveformer"
    widths: tuple[int, ...] = Field(
        default=(48, 96, 192, 384),
        min_length=1,
        description="channels of each stage, fine to coarse; their number is the number of stages",
    )
    depths: tuple[int, ...] | None = Field(
        default=None, description="blocks of each stage, from 1; default: 2 each"
    )
    heads: tuple[int, ...] | None = Field(
        default=None,
        description="attention heads of each stage, which divide its width; default: a head for "
        "every 16 channels, (3, 6, 12, 24)",
    )
    patch: PerAxis = Field(
        default=(2, 2, 2),
        description="voxels per site of the first stage (z, y, x): kernel and stride of the patch "
        "embedding",
    )
    merging: tuple[PerAxis, ...] | None = Field(
        default=None,
        description="kernel and stride (z, y, x) of the patch merging before each stage but the "
        "first; default: 2 on each axis",
    )
    levels: tuple[PerAxis, ...] | None = Field(
        default=None,
        description="wavelet levels (z, y, x) of each stage; default: those that leave one token "
        "per total stride, 3, 2, 1 and 0 for the default strides",
    )
    wavelet: str = Field(
        default="haar",
        description="a discrete wavelet of PyWavelets; filters longer than Haar's look past a "
        "cell and work on dense volumes only",
    )
    details: Literal["identity", "mlp", "depthwise"] = Field(
        default="identity",
        description="what happens to the detail sub-bands: nothing; a pointwise MLP shared by all "
        "of them; a depthwise 3 x 3 x 3 convolution for each orientation. Both start as nothing",
    )
    positions: Literal["rope", "relative_bias", "none"] = Field(
        default="rope",
        description="how attention knows places: 3D rotary positions, a learned bias for each "
        "offset between tokens, or not at all",
    )
    ffn: Literal["mlp", "conv"] = Field(
        default="mlp",
        description="pointwise MLP, or pointwise - depthwise 3 x 3 x 3 - pointwise",
    )
    mlp_ratio: float = Field(
        default=4.0, gt=0, description="hidden channels of the FFN for each channel of the stage"
    )

    @field_validator("widths", "depths", "heads")
    @classmethod
    def _counts(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        if value is not None and min(value, default=0) < 1:
            raise ValueError(f"given {list(value)}; each must be a whole number from 1")
        return _one_per_stage(value, info)

    @field_validator("heads")
    @classmethod
    def _heads(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        for i, (width, count) in enumerate(
            zip(info.data.get("widths", ()), value or (), strict=False)
        ):
            if width % count:
                raise ValueError(
                    f"stage {i} has width {width} and {count} heads: heads must divide the width, "
                    f"such as {_nearest_divisor(width, count)}"
                )
        return value

    @field_validator("levels")
    @classmethod
    def _levels(cls, value: tuple[Triple, ...] | None, info: ValidationInfo) -> Any:
        if value is not None and any(level < 0 for triple in value for level in triple):
            raise ValueError(f"given {_listed(value)}; a level is a whole number from 0")
        return _one_per_stage(value, info)

    @field_validator("patch")
    @classmethod
    def _patch(cls, value: Triple) -> Triple:
        if min(value) < 1:
            raise ValueError(f"given {list(value)}; each axis must be a whole number from 1")
        return value

    @field_validator("merging")
    @classmethod
    def _merging(cls, value: tuple[Triple, ...] | None, info: ValidationInfo) -> Any:
        if value is not None and any(stride < 1 for triple in value for stride in triple):
            raise ValueError(f"given {_listed(value)}; a stride is a whole number from 1")
        return _one_per_stage(value, info, fewer=1)

    @field_validator("wavelet")
    @classmethod
    def _wavelet(cls, value: str) -> str:
        return check_wavelet(value)

    @field_validator("positions")
    @classmethod
    def _positions(cls, value: str, info: ValidationInfo) -> str:
        widths, heads = info.data.get("widths"), info.data.get("heads")
        if widths is None or "heads" not in info.data:
            return value
        for i, (width, count) in enumerate(zip(widths, heads or _heads_of(widths), strict=True)):
            if value == "rope" and width // count < 6:
                raise ValueError(
                    f"rope needs heads of at least 6 channels, a pair for each axis; stage {i} has "
                    f"{width // count} (width {width}, {count} heads). Allowed: at most "
                    f"{max(width // 6, 1)} heads, a wider stage, or positions relative_bias or none"
                )
        return value

    @property
    def stage_depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return self.depths or (2,) * len(self.widths)

    @property
    def stage_heads(self) -> tuple[int, ...]:
        """Attention heads of each stage."""
        return self.heads or _heads_of(self.widths)

    @property
    def factors(self) -> tuple[Triple, ...]:
        """Stride of the convolution at the start of each stage."""
        merging = self.merging if self.merging is not None else ((2, 2, 2),) * len(self.widths[1:])
        return (self.patch, *merging)

    @property
    def stage_levels(self) -> tuple[Triple, ...]:
        """Wavelet levels of each stage, per axis."""
        if self.levels is not None:
            return self.levels
        total = self.total_stride
        return tuple(deepest_level(quotient(total, stage.stride)) for stage in self.stages())

    @property
    def divisor(self) -> Triple:
        """What edges of a volume (of a cell) must be multiples of, in voxels, (z, y, x)."""
        needed = self.total_stride
        if is_haar(self.wavelet):  # longer filters need no whole blocks
            for stage, levels in zip(self.stages(), self.stage_levels, strict=True):
                z, y, x = map(math.lcm, needed, times(stage.stride, block_of(levels)))
                needed = (z, y, x)
        return needed

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Hidden channels of each stage's FFN."""
        return tuple(max(1, round(width * self.mlp_ratio)) for width in self.widths)

    def stages(self) -> tuple[Stage, ...]:
        """Stride and channels of each stage."""
        stride: Triple = (1, 1, 1)
        stages = []
        for factor, width in zip(self.factors, self.widths, strict=True):
            stride = times(stride, factor)
            stages.append(Stage(stride, width))
        return tuple(stages)

    def operations(self) -> tuple[Operation, ...]:
        """One entry for each convolution of the built module; one input channel assumed."""
        return tuple(self._operations())

    def _operations(self) -> Iterator[Operation]:
        before = 1
        for i, (factor, width) in enumerate(zip(self.factors, self.widths, strict=True)):
            yield Operation("conv3d", factor, factor, channels=(before, width))
            for _ in range(self.stage_depths[i]):
                if self.details == "depthwise":
                    for _ in band_names(self.stage_levels[i]):
                        yield _depthwise(width)
                if self.ffn == "conv":
                    yield _depthwise(self.hidden_widths[i])
            before = width

    def problems(self, *, cell: Triple, sparse: bool) -> Iterable[Problem]:
        """Wavelet levels that are too deep for the cell; long filters on a sparse volume."""
        if sparse and not is_haar(self.wavelet) and any(map(any, self.stage_levels)):
            yield Problem(
                "wavelet",
                f"given {self.wavelet!r}, whose filters look past a cell and would mix visible and "
                "hidden voxels; allowed for visible cells: haar. Other wavelets need a dense pass "
                "(encoder_input: zeroed)",
            )
        # Longer filters need no whole blocks; a cell off the total stride is reported by the spec.
        if is_haar(self.wavelet) and divides(self.total_stride, cell):
            yield from depth_problems(self.stages(), self.stage_levels, cell=cell)

    def build(self, *, in_channels: int) -> WaveFormerBackbone:
        """Make the module, with parameters from torch's global generator."""
        from ssl3d_plugins.waveformer.backbone import WaveFormerBackbone

        return WaveFormerBackbone(self, in_channels=in_channels)


def _one_per_stage(value: Any, info: ValidationInfo, *, fewer: int = 0) -> Any:
    """`value`, if it has one entry for each stage; raises ValueError otherwise."""
    widths = info.data.get("widths")
    if value is not None and widths is not None and len(value) != len(widths) - fewer:
        each = "each stage but the first" if fewer else "each stage"
        raise ValueError(
            f"given {len(value)} entries for {len(widths)} widths; give one for {each}, "
            f"{len(widths) - fewer} in all, or leave it out"
        )
    return value


def _heads_of(widths: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(_nearest_divisor(width, max(width // 16, 1)) for width in widths)


def _nearest_divisor(width: int, count: int) -> int:
    """The largest divisor of `width` that is at most `count`."""
    return next(n for n in range(min(count, width), 0, -1) if width % n == 0)


def _depthwise(channels: int) -> Operation:
    return Operation(
        "conv3d", (3, 3, 3), (1, 1, 1), (1, 1, 1), groups=channels, channels=(channels, channels)
    )


def _listed(value: tuple[Triple, ...]) -> list[list[int]]:
    return [list(triple) for triple in value]
