"""Convolution on cells with a halo: a dense convolution without padding on each box.

Everything gathers; nothing is scattered. The fastest way where most of a kernel stays in a cell.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.halo import take
from ssl3d_plugins.sparse_cells.layout import channels_first
from ssl3d_plugins.sparse_cells.tables import reach_down, reach_up


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""
    boxes = channels_first(take(fine, cells=cells, reach=reach_down(op)))
    return F.conv3d(boxes, weight, bias, op.stride, 0, 1, op.groups)


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    reach = reach_up(op)
    boxes = channels_first(take(coarse, cells=cells, reach=reach))
    if op.stride == (1, 1, 1):  # the same as below, and by far faster with many groups
        return F.conv3d(boxes, mirrored(weight, op.groups), bias, 1, 0, 1, op.groups)
    fine = [n * s for n, s in zip(coarse.shape[1:4], op.stride, strict=True)]
    crop = [p + lo * s for p, lo, s in zip(op.padding, reach.low, op.stride, strict=True)]
    size = [
        (n - 1) * s + k - 2 * c
        for n, s, k, c in zip(boxes.shape[2:], op.stride, op.kernel, crop, strict=True)
    ]
    more = [max(want - have, 0) for want, have in zip(fine, size, strict=True)]
    y = F.conv_transpose3d(boxes, weight, bias, op.stride, crop, more, op.groups)
    return y if list(y.shape[2:]) == fine else cut(y, fine)


def cut(boxes: Tensor, size: list[int]) -> Tensor:
    """The first sites of (N, C, …) on each axis, as a new tensor."""
    kept = boxes[:, :, : size[0], : size[1], : size[2]]
    return kept.contiguous(memory_format=torch.channels_last_3d)


def mirrored(weight: Tensor, groups: int) -> Tensor:
    """(O, I/groups, k…) as the weight (I, O/groups, k…) of the convolution back."""
    o, i, *kernel = weight.shape
    swapped = weight.view(groups, o // groups, i, *kernel).transpose(1, 2)
    return swapped.reshape(groups * i, o // groups, *kernel).flip(2, 3, 4)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` for fine and coarse sites, one of them a gradient itself."""
    boxes = take(fine, cells=cells, reach=reach_down(op))
    _, gradient, _ = torch.ops.aten.convolution_backward(
        channels_first(coarse),
        channels_first(boxes),
        weight,
        None,
        op.stride,
        (0, 0, 0),
        (1, 1, 1),
        False,
        (0, 0, 0),
        op.groups,
        (False, True, False),
    )
    assert isinstance(gradient, Tensor)
    return gradient
