"""Convolution on cells with a halo: a dense convolution without padding on each box.

Everything gathers; nothing is scattered. The fastest way where most of a kernel stays in a cell
and channels are few.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid
from ssl3d.sparse.halo import take_chunks
from ssl3d.sparse.layout import channels_first
from ssl3d.sparse.tables import Reach, reach_down, reach_up


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""

    def convolve(boxes: Tensor) -> Tensor:
        return F.conv3d(boxes, weight, bias, op.stride, 0, 1, op.groups)

    return _by_chunks(convolve, fine, cells=cells, reach=reach_down(op.footprint))


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    reach = reach_up(op.footprint)
    if op.stride == (1, 1, 1):  # the same as below, and by far faster with many groups
        back = mirrored(weight, op.groups)

        def convolve(boxes: Tensor) -> Tensor:
            return F.conv3d(boxes, back, bias, 1, 0, 1, op.groups)

        return _by_chunks(convolve, coarse, cells=cells, reach=reach)

    fine = [n * s for n, s in zip(coarse.shape[1:4], op.stride, strict=True)]
    crop = [p + lo * s for p, lo, s in zip(op.padding, reach.low, op.stride, strict=True)]

    def convolve_back(boxes: Tensor) -> Tensor:
        size = [
            (n - 1) * s + k - 2 * c
            for n, s, k, c in zip(boxes.shape[2:], op.stride, op.kernel, crop, strict=True)
        ]
        more = [max(want - have, 0) for want, have in zip(fine, size, strict=True)]
        y = F.conv_transpose3d(boxes, weight, bias, op.stride, crop, more, op.groups)
        if list(y.shape[2:]) == fine:
            return y
        cut = y[:, :, : fine[0], : fine[1], : fine[2]]  # no view may leave a Function
        return cut.clone(memory_format=torch.channels_last_3d)

    return _by_chunks(convolve_back, coarse, cells=cells, reach=reach)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` for fine and coarse sites, one of them a gradient itself."""
    # In single precision at least: with many chunks a sum in bfloat16 would stop to grow.
    total = torch.zeros_like(
        weight,
        dtype=torch.promote_types(weight.dtype, torch.float32),
        memory_format=torch.channels_last_3d,
    )
    for where, boxes in take_chunks(fine, cells=cells, reach=reach_down(op.footprint)):
        _, part, _ = torch.ops.aten.convolution_backward(
            channels_first(coarse[where]),
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
        total += part
    return total.to(weight.dtype)


def mirrored(weight: Tensor, groups: int) -> Tensor:
    """(O, I/groups, k…) as the weight (I, O/groups, k…) of the convolution back."""
    o, i, *kernel = weight.shape
    swapped = weight.view(groups, o // groups, i, *kernel).transpose(1, 2)
    return swapped.reshape(groups * i, o // groups, *kernel).flip(2, 3, 4)


def _by_chunks(
    convolve: Callable[[Tensor], Tensor], features: Tensor, *, cells: CellGrid, reach: Reach
) -> Tensor:
    """What `convolve` makes of the boxes (n, C, …) of some cells at a time, as (N, C', e…)."""
    whole = None
    for where, boxes in take_chunks(features, cells=cells, reach=reach):
        part = convolve(channels_first(boxes))
        if whole is None:
            if len(part) == cells.n:
                return part.contiguous(memory_format=torch.channels_last_3d)
            whole = torch.empty(
                (cells.n, *part.shape[1:]),
                dtype=part.dtype,
                device=part.device,
                memory_format=torch.channels_last_3d,
            )
        whole[where] = part
    assert whole is not None
    return whole
