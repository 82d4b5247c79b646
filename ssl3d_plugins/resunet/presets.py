"""Sizes of nnU-Net's residual encoders: M and L as published, S by the same rule.

Source: nnU-Net's residual encoder presets (arXiv 2404.09556, and nnU-Net's planner). One rule gives
the widths and the blocks of every preset, for as many stages as the patch allows: a further stage
is added while the coarsest feature map keeps an edge of four sites or more. The published M and L
differ in their memory target (8 and 24 GB), so in the patch: at 128³ and at 160³ they are the same
network of six stages. That network at 160³ is also what the S3D paper and OpenMind pre-train.
There is no published S: it is the same rule at a patch of 96³, which leaves five stages and makes
cells of 16 voxels.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Size = Literal["S", "M", "L"]


class Preset(NamedTuple):
    """How many stages a size has, and the patch edge, in voxels, that it is meant for."""

    stages: int
    patch: int


PRESETS: dict[Size, Preset] = {"S": Preset(5, 96), "M": Preset(6, 128), "L": Preset(6, 160)}


def published_widths(stages: int) -> tuple[int, ...]:
    """Channels of each stage by the published rule: 32, doubled at each stage, at most 320."""
    return tuple(min(320, 32 * 2**i) for i in range(stages))


def published_blocks(stages: int) -> tuple[int, ...]:
    """Residual blocks of each stage by the published rule: 1, 3, 4, then 6."""
    return ((1, 3, 4) + (6,) * stages)[:stages]
