"""What the encoder is made of: the operations of its modules, as backends are asked for them.

Validation reads the operations off this plan and the modules are made from it. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ssl3d.geometry import Operation, Triple

ONE: Triple = (1, 1, 1)


class StageOptions(NamedTuple):
    """One stage: channels, residual blocks, kernel, and the stride of its first block."""

    width: int
    blocks: int
    kernel: Triple
    stride: Triple


@dataclass(frozen=True)
class BlockPlan:
    """A residual block: two convolutions, and on the skip an average and a projection, or None."""

    conv1: Operation
    conv2: Operation
    average: Operation | None
    project: Operation | None


@dataclass(frozen=True)
class Plan:
    """The stem's convolution, and the blocks of each stage."""

    stem: Operation
    stages: tuple[tuple[BlockPlan, ...], ...]


def plan_of(stages: Sequence[StageOptions], *, in_channels: int) -> Plan:
    """The plan of an encoder for volumes of `in_channels` channels."""
    before = stages[0].width
    stem = Operation.convolution((in_channels, before), kernel=stages[0].kernel)
    planned = []
    for width, blocks, kernel, stride in stages:
        first = _block((before, width), kernel=kernel, stride=stride)
        others = _block((width, width), kernel=kernel, stride=ONE)
        planned.append((first, *(others,) * (blocks - 1)))
        before = width
    return Plan(stem, tuple(planned))


def _block(channels: tuple[int, int], *, kernel: Triple, stride: Triple) -> BlockPlan:
    before, width = channels
    average = Operation("avg_pool3d", stride, stride, channels=(before, before))
    return BlockPlan(
        conv1=Operation.convolution(channels, kernel=kernel, stride=stride),
        conv2=Operation.convolution((width, width), kernel=kernel),
        average=None if stride == ONE else average,
        project=None if before == width else Operation.convolution(channels, kernel=ONE),
    )
