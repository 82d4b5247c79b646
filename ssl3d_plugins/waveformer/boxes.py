"""Feature maps as channels-last boxes: what works at each site, or in each block, is plain."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ssl3d.sparse import FeatureMap, SparseVolume


def boxes_of(x: FeatureMap) -> Tensor:
    """(M, d, h, w, C) contiguous: the visible cells, or each dense volume as one box."""
    if isinstance(x, SparseVolume):
        return x.features
    return x.movedim(1, -1).contiguous()


def like(x: FeatureMap, boxes: Tensor) -> FeatureMap:
    """`boxes` (M, d, h, w, C') as a feature map of the kind, and at the stage, of `x`."""
    if isinstance(x, SparseVolume):
        return replace(x, features=boxes)
    return boxes.movedim(-1, 1)
