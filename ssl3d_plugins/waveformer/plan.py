"""What the backbone is made of, stage by stage and block by block.

Validation reads the operations off this plan and the modules are made from it. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ssl3d.geometry import Operation, Triple
from ssl3d_plugins.waveformer.levels import band_names, factors_of


class Options(Protocol):
    """The options that the plan follows from: `WaveFormer`'s, defaults filled in."""

    @property
    def widths(self) -> tuple[int, ...]: ...
    @property
    def attention(self) -> str: ...
    @property
    def details(self) -> str: ...
    @property
    def ffn(self) -> str: ...
    @property
    def published(self) -> bool: ...
    @property
    def factors(self) -> tuple[Triple, ...]: ...
    @property
    def stage_depths(self) -> tuple[int, ...]: ...
    @property
    def stage_heads(self) -> tuple[int, ...]: ...
    @property
    def stage_levels(self) -> tuple[Triple, ...]: ...
    @property
    def hidden_widths(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class UpPlan:
    """Trilinear up-sampling by 2 as transposed convolutions (`upsample.up_twice`).

    Attributes:
        features: for each channel by itself.
        weights: the same on ones, which tells the visible share.
    """

    features: Operation
    weights: Operation


@dataclass(frozen=True)
class BandPlan:
    """The convolution of the detail sub-bands of one orientation, such as `aad`."""

    name: str
    convolution: Operation


@dataclass(frozen=True)
class BlockPlan:
    """A token mixer and the FFN.

    Attributes:
        width: channels.
        heads: of attention.
        levels: wavelet levels per axis.
        bands: of depthwise details; empty for others.
        ups: up-sampling from each level to the one before, fine to coarse; empty where attention
            sees the coarsest level alone, or levels are up-sampled at once.
        hidden: channels inside the FFN.
        depthwise: convolution inside the FFN, None for a pointwise one.
    """

    width: int
    heads: int
    levels: Triple
    bands: tuple[BandPlan, ...]
    ups: tuple[UpPlan, ...]
    hidden: int
    depthwise: Operation | None


@dataclass(frozen=True)
class StagePlan:
    """Patch embedding or merging, then the blocks of one resolution.

    Attributes:
        channels: before and after.
        reduce: the convolution; None for the merging of the public code.
        blocks: those of one resolution.
    """

    channels: tuple[int, int]
    reduce: Operation | None
    blocks: tuple[BlockPlan, ...]


def plan_of(config: Options, *, in_channels: int) -> tuple[StagePlan, ...]:
    """The stages, fine to coarse."""
    planned = []
    before = in_channels
    for i, (factor, width) in enumerate(zip(config.factors, config.widths, strict=True)):
        reduce = Operation.convolution((before, width), kernel=factor, stride=factor)
        planned.append(
            StagePlan(
                (before, width),
                None if config.published and i else reduce,
                (_block(config, index=i),) * config.stage_depths[i],
            )
        )
        before = width
    return tuple(planned)


def up_plan(factor: Triple, *, channels: int) -> UpPlan:
    """Up-sampling by 2 on the axes where `factor` is 2."""
    z, y, x = (4 if f == 2 else 1 for f in factor)
    padding = (int(z == 4), int(y == 4), int(x == 4))
    features, weights = (
        Operation("conv_transpose3d", (z, y, x), factor, padding, count, (count, count))
        for count in (channels, 1)
    )
    return UpPlan(features, weights)


def _block(config: Options, *, index: int) -> BlockPlan:
    width, hidden = config.widths[index], config.hidden_widths[index]
    levels = config.stage_levels[index]
    bands = band_names(levels) if config.details == "depthwise" else ()
    pyramid = config.attention == "every_level" and not config.published
    factors = factors_of(levels) if pyramid else ()
    return BlockPlan(
        width=width,
        heads=config.stage_heads[index],
        levels=levels,
        bands=tuple(BandPlan(name, _depthwise(width)) for name in bands),
        ups=tuple(up_plan(factor, channels=width) for factor in factors),
        hidden=hidden,
        depthwise=None if config.ffn == "mlp" else _depthwise(hidden),
    )


def _depthwise(channels: int) -> Operation:
    return Operation.convolution((channels, channels), kernel=(3, 3, 3), groups=channels)
