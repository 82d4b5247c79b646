"""Convolution over pairs of sites: one product for each place in the kernel.

Computes only where both sites are visible. It serves every kernel, stride and reach, and is the
fastest form where cells have few sites, so that most of a kernel lies in other cells.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Operation, product, quotient, times
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.precision import sum_dtype
from ssl3d_plugins.sparse_cells.tables import site_pairs

Rows = tuple[Tensor, ...]


def convolve(
    features: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight in torch layout to (N, e'…, O), e' the edge after `op`."""
    n, ez, ey, ex, channels = features.shape
    edge, transposed = (ez, ey, ex), op.kind == "conv_transpose3d"
    after = times(edge, op.stride) if transposed else quotient(edge, op.stride)
    table = site_pairs(cells, edge=after if transposed else edge, op=op)
    source, target = (table.coarse, table.fine) if transposed else (table.fine, table.coarse)
    taps = taps_of(weight, groups=op.groups, transposed=transposed)
    y = PairConvolution.apply(  # type: ignore[no-untyped-call]
        features.reshape(-1, channels), taps, source, target, n * product(after)
    )
    assert isinstance(y, Tensor)
    y = y.view(n, *after, op.channels[1])
    return y if bias is None else y.add_(bias)


def taps_of(weight: Tensor, *, groups: int, transposed: bool) -> Tensor:
    """A weight in torch layout as (K, groups, I/groups, O/groups)."""
    first, second = weight.shape[:2]
    taps = weight.reshape(groups, first // groups, second, -1)
    return taps.permute(3, 0, 1, 2) if transposed else taps.permute(3, 0, 2, 1)


def multiply(x: Tensor, tap: Tensor) -> Tensor:
    """(n, I) rows times (groups, I/groups, O/groups): (n, O)."""
    groups, i, o = tap.shape
    if groups == 1:
        return x @ tap[0]
    if i == o == 1:
        return x * tap.view(-1)
    return torch.einsum("ngi,gio->ngo", x.view(x.shape[0], groups, i), tap).flatten(1)


def correlate(x: Tensor, grad: Tensor, *, groups: int) -> Tensor:
    """(n, I) and (n, O) rows summed over n: (groups, I/groups, O/groups)."""
    if groups == 1:
        return (x.t() @ grad)[None]
    if groups == x.shape[1] == grad.shape[1]:
        return (x * grad).sum(0).view(-1, 1, 1)
    n = x.shape[0]
    x, grad = (t.view(n, groups, t.shape[1] // groups) for t in (x, grad))
    return torch.einsum("ngi,ngo->gio", x, grad)


def spread(x: Tensor, taps: Tensor, source: Rows, target: Rows, count: int) -> Tensor:
    """Sum over the kernel of `x[source] @ tap`, added to the rows `target` of (count, O)."""
    y = x.new_zeros(count, taps.shape[1] * taps.shape[3], dtype=sum_dtype(x.dtype))
    for tap, rows, to in zip(taps, source, target, strict=True):
        y.index_add_(0, to, multiply(x.index_select(0, rows), tap).to(y.dtype))
    return y.to(x.dtype)


class PairConvolution(torch.autograd.Function):
    """Rows (n, I) and taps (K, groups, I/groups, O/groups) to (count, O)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, taps: Tensor, source: Rows, target: Rows, count: int
    ) -> Tensor:
        ctx.save_for_backward(x, taps)
        ctx.source, ctx.target = source, target
        return spread(x, taps, source, target, count)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = grad_taps = None
        with torch.autocast(grad.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                back = taps.transpose(2, 3)
                grad_x = spread(grad, back, ctx.target, ctx.source, x.shape[0])
            if ctx.needs_input_grad[1]:
                groups = taps.shape[1]
                grad_taps = torch.stack(
                    [
                        correlate(x.index_select(0, i), grad.index_select(0, o), groups=groups)
                        for i, o in zip(ctx.source, ctx.target, strict=True)
                    ]
                )
        return grad_x, grad_taps, None, None, None
