"""Trilinear up-sampling by 2 that never looks at hidden sites."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, quotient
from ssl3d.sparse import CellGrid, FeatureMap, SparseBackend, SparseVolume
from ssl3d_plugins.waveformer.plan import UpPlan


def up_twice(x: FeatureMap, *, up: UpPlan) -> FeatureMap:
    """Twice as many sites on the axes where the stride of `up` is 2, 1 elsewhere.

    Trilinear (align_corners=False) is a transposed convolution with the weights 1/4, 3/4, 3/4, 1/4.
    On visible cells it is divided by the same operation on ones, so the weights of hidden sites go
    to the visible ones. At the border of a volume that is what the dense operation does: with
    nothing hidden, both are equal.
    """
    if not isinstance(x, SparseVolume):
        scale = [float(f) for f in up.features.stride]
        return F.interpolate(x, scale_factor=scale, mode="trilinear", align_corners=False)
    y = _spread(x, op=up.features)
    weights = x.cells.table(_weights, x.stride, up.weights, x.features.dtype, x.backend)
    return y.map(lambda features: features / weights)


def _weights(
    cells: CellGrid, stride: Triple, op: Operation, dtype: torch.dtype, backend: SparseBackend
) -> Tensor:
    """(N, 2cd, 2ch, 2cw, 1): the share of the weights that lies on visible sites."""
    edge = quotient(cells.cell, stride)
    ones = torch.ones(cells.n, *edge, 1, dtype=dtype, device=cells.visible.device)
    with torch.no_grad():
        return _spread(SparseVolume(ones, cells, stride, backend), op=op).features


def _spread(x: SparseVolume, *, op: Operation) -> SparseVolume:
    """The transposed convolution, for each channel by itself."""
    weight = x.features.new_ones(op.groups, 1, 1, 1, 1)
    line = 1 - (torch.arange(4, dtype=weight.dtype, device=weight.device) - 1.5).abs() / 2
    for axis, f in enumerate(op.stride):
        if f == 2:
            shape = [4 if a == axis + 2 else 1 for a in range(5)]
            weight = weight * line.view(shape)
    return x.backend.conv_transpose3d(
        x, weight, stride=op.stride, padding=op.padding, groups=op.groups
    )
