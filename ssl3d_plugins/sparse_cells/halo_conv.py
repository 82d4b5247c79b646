"""Convolution on cells with a halo: a dense convolution without padding on each box.

Everything gathers; nothing is scattered. The fastest way where most of a kernel stays in a cell
and channels are few.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, product, quotient, times
from ssl3d.sparse import CellGrid
from ssl3d.sparse.halo import NOWHERE, one_row, take_chunks
from ssl3d.sparse.layout import channels_first
from ssl3d.sparse.tables import Reach, box_rows, reach_down, reach_up


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""

    def convolve(boxes: Tensor, _: slice) -> Tensor:
        return F.conv3d(channels_first(boxes), weight, bias, op.stride, 0, 1, op.groups)

    return _by_chunks(convolve, fine, cells=cells, reach=reach_down(op.footprint))


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    reach = reach_up(op.footprint)
    if op.stride == (1, 1, 1):  # the same as below, and by far faster with many groups
        back = mirrored(weight, op.groups)

        def convolve(boxes: Tensor, _: slice) -> Tensor:
            return F.conv3d(channels_first(boxes), back, bias, 1, 0, 1, op.groups)

        return _by_chunks(convolve, coarse, cells=cells, reach=reach)

    fine = [n * s for n, s in zip(coarse.shape[1:4], op.stride, strict=True)]
    crop = [p + lo * s for p, lo, s in zip(op.padding, reach.low, op.stride, strict=True)]

    def convolve_back(boxes: Tensor, _: slice) -> Tensor:
        boxes = channels_first(boxes)
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
    total = None
    for where, boxes in take_chunks(fine, cells=cells, reach=reach_down(op.footprint)):
        result, boxes = channels_first(coarse[where]), channels_first(boxes)
        total = _plus(total, _of_weight(result, boxes, weight=weight, op=op))
    assert total is not None
    return total.to(weight.dtype)


def make_tables(features: Tensor, *, cells: CellGrid, op: Operation) -> None:
    """Make all tables of `op` on features (N, e…, C) and of its gradients.

    A compiler cannot make them inside of a Function, and finds them there.
    """
    _, z, y, x, _ = features.shape
    here: Triple = (z, y, x)
    down = op.kind == "conv3d"
    fine, coarse = (here, quotient(here, op.stride)) if down else (times(here, op.stride), here)
    for edge, reach in ((fine, reach_down(op.footprint)), (coarse, reach_up(op.footprint))):
        if reach != NOWHERE:
            cells.table(box_rows, edge=edge, reach=reach)
    for channels in op.channels:
        cells.table(one_row, channels=channels, fill=0.0, dtype=features.dtype)
    cells.table(_backwards, places=product(op.kernel))


def at_once(op: Operation) -> bool:
    """True where `gradients` computes both from what one of them gathers.

    Transposed convolutions of many groups are slow.
    """
    return (op.kind, op.stride, op.groups) == ("conv3d", (1, 1, 1), 1)


def gradients(
    x: Tensor, grad: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> tuple[Tensor, Tensor]:
    """Both gradients of a convolution, (N, I, e…) and that of the weight; see `at_once`.

    From the boxes of the result's gradient alone: the transposed convolution leads back to `x`.

    Args:
        x: (N, e…, I), what was convolved.
        grad: (N, e…, O), of the result.
        weight: (O, I, k…).
        cells: which cells are visible.
        op: the convolution.
    """
    assert at_once(op)
    back = weight.transpose(0, 1)
    crop, total = [k - 1 for k in op.kernel], None

    def convolve(boxes: Tensor, where: slice) -> Tensor:
        nonlocal total
        boxes = channels_first(boxes)
        # As the convolution back, whose result is `x`: over its sites alone, not those of boxes.
        total = _plus(total, _of_weight(channels_first(x[where]), boxes, weight=back, op=op))
        return F.conv_transpose3d(boxes, weight, None, 1, crop, 0, op.groups)

    grad_x = _by_chunks(convolve, grad, cells=cells, reach=reach_up(op.footprint))
    assert total is not None
    backwards = cells.table(_backwards, places=product(op.kernel))
    # Swapped, mirrored and laid out as weights are, in one copy.
    taps = total.permute(1, 2, 3, 4, 0).flatten(1, 3).index_select(1, backwards)
    taps = taps.view(weight.shape[0], *op.kernel, -1)
    return grad_x, taps.permute(0, 4, 1, 2, 3).to(weight.dtype)


def _backwards(cells: CellGrid, *, places: int) -> Tensor:
    """The places of a kernel from the last to the first."""
    return torch.arange(places - 1, -1, -1, device=cells.visible.device)


def _of_weight(result: Tensor, boxes: Tensor, *, weight: Tensor, op: Operation) -> Tensor:
    """Gradient of a weight like this, which leads from boxes (n, C, …) to a result (n, C', e…)."""
    _, part, _ = torch.ops.aten.convolution_backward(
        result,
        boxes,
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
    assert isinstance(part, Tensor)
    return part


def _plus(total: Tensor | None, part: Tensor) -> Tensor:
    """A sum of chunks in single precision at least: with many it would stop to grow in bfloat16."""
    if total is None:
        return part
    total = total.to(torch.promote_types(total.dtype, torch.float32))
    return total.add_(part)


def mirrored(weight: Tensor, groups: int) -> Tensor:
    """(O, I/groups, k…) as the weight (I, O/groups, k…) of the convolution back."""
    o, i, *kernel = weight.shape
    swapped = weight.view(groups, o // groups, i, *kernel).transpose(1, 2)
    return swapped.reshape(groups * i, o // groups, *kernel).flip(2, 3, 4)


def _by_chunks(
    convolve: Callable[[Tensor, slice], Tensor], features: Tensor, *, cells: CellGrid, reach: Reach
) -> Tensor:
    """What `convolve` makes of the boxes (n, …, C) of some cells at a time, as (N, C', e…)."""
    whole = None
    for where, boxes in take_chunks(features, cells=cells, reach=reach):
        part = convolve(boxes, where)
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
