"""Sizes of nnU-Net's residual encoders: M, L and XL, which are one network, and S by the same rule.

Source: nnU-Net's residual encoder presets (arXiv 2404.09556, and nnU-Net's planner). One rule gives
the widths and the blocks of every preset, for as many stages as the patch allows. The presets
differ in their memory target (8, 24 and 40 GB), so in the patch and the batch: for large isotropic
data the planner's patches are 128³, 192³ and 256 × 224 × 224, and the network has six stages at
each. At 160³, where the S3D paper and OpenMind pre-train what they call ResEnc-L, it is the same.
Anisotropic plans of L and XL can have seven stages: `plans` reads those. There is no published S:
it is the same rule at a patch of 96³, which leaves five stages and makes cells of 16 voxels.
"""

from __future__ import annotations

from typing import Literal

Size = Literal["S", "M", "L", "XL"]

STAGES: dict[Size, int] = {"S": 5, "M": 6, "L": 6, "XL": 6}
"""Stages of a size."""


def published_widths(stages: int) -> tuple[int, ...]:
    """Channels of each stage by the published rule: 32, doubled at each stage, at most 320."""
    return tuple(min(320, 32 * 2**i) for i in range(stages))


def published_blocks(stages: int) -> tuple[int, ...]:
    """Residual blocks of each stage by the published rule: 1, 3, 4, then 6."""
    return ((1, 3, 4) + (6,) * stages)[:stages]
