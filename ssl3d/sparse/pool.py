"""Pooling across cells in plain torch, for every backend whose library lacks it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ssl3d.geometry import Operation
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.halo import halo
from ssl3d.sparse.layout import channels_first, channels_last
from ssl3d.sparse.tables import reach_down


def pool(x: SparseVolume, op: Operation) -> SparseVolume:
    """Maximum, or sum over the whole kernel's size, on each cell with the sites around it."""
    largest = op.kind == "max_pool3d"
    fill = -torch.inf if largest else 0.0
    boxes = halo(x.features, cells=x.cells, reach=reach_down(op.footprint), fill=fill)
    compute = F.max_pool3d if largest else F.avg_pool3d
    pooled = compute(channels_first(boxes), op.kernel, op.stride)
    return x.with_features(channels_last(pooled), stride=op.result_stride(x.stride))
