"""Convolution over pairs of sites: one matrix product for each place in the kernel.

Computes only where both sites are visible. The fastest way where cells have few sites, so that
most of a kernel lies in other cells, of which most are hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, quotient, times
from ssl3d.sparse import CellGrid
from ssl3d_plugins.sparse_cells.pair_tables import Sums, pair_groups


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""
    rows, taps = _rows(fine), _taps(weight)
    sums = _start(fine, bias, channels=weight.shape[0], edge=quotient(_edge(fine), op.stride))
    for group in cells.table(pair_groups, edge=_edge(fine), op=op.footprint):
        x = rows.index_select(0, group.fine)
        y = x.new_empty(len(x), weight.shape[0])
        for place, pairs in group.places:
            _multiply(x[pairs], taps[:, place], groups=op.groups, out=y[pairs])
        _add(y, group.to_coarse, sums=sums)
    return sums.to(fine.dtype)


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    edge, channels = times(_edge(coarse), op.stride), weight.shape[1] * op.groups
    rows, taps = _rows(coarse), _taps(weight)
    sums = _start(coarse, bias, channels=channels, edge=edge)
    for group in cells.table(pair_groups, edge=edge, op=op.footprint):
        y = rows.index_select(0, group.coarse)
        x = y.new_empty(len(y), channels)
        for place, pairs in group.places:
            _multiply_back(y[pairs], taps[:, place], groups=op.groups, out=x[pairs])
        _add(x, group.to_fine, sums=sums)
    return sums.to(coarse.dtype)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` from fine and coarse sites, one of them a gradient itself."""
    fine_rows, coarse_rows = _rows(fine), _rows(coarse)
    gradient = torch.zeros_like(weight, memory_format=torch.channels_last_3d)
    taps = _taps(gradient)
    for group in cells.table(pair_groups, edge=_edge(fine), op=op.footprint):
        x = fine_rows.index_select(0, group.fine)
        y = coarse_rows.index_select(0, group.coarse)
        for place, pairs in group.places:
            _correlate(x[pairs], y[pairs], groups=op.groups, out=taps[:, place])
    return gradient


def _edge(features: Tensor) -> Triple:
    _, z, y, x, _ = features.shape
    return (z, y, x)


def _rows(features: Tensor) -> Tensor:
    return features.reshape(-1, features.shape[-1])


def _taps(weight: Tensor) -> Tensor:
    """(O, I/groups, k…) as (O, K, I/groups), the same memory where it is channels-last.

    A place in the kernel is a matrix then that products read where it lies.
    """
    last = weight.contiguous(memory_format=torch.channels_last_3d).permute(0, 2, 3, 4, 1)
    return last.view(weight.shape[0], -1, weight.shape[1])


def _start(x: Tensor, bias: Tensor | None, *, channels: int, edge: Triple) -> Tensor:
    """(N, channels, edge…) filled with the bias, to add to in single precision at least."""
    sums = torch.empty(
        (x.shape[0], channels, *edge),
        dtype=torch.promote_types(x.dtype, torch.float32),
        device=x.device,
        memory_format=torch.channels_last_3d,
    )
    return sums.zero_() if bias is None else sums.copy_(bias.view(1, -1, 1, 1, 1))


def _add(products: Tensor, which: Sums, *, sums: Tensor) -> None:
    """Add the products (p, C) of each site to `sums` (N, C, …), always in the same order."""
    rows = sums.permute(0, 2, 3, 4, 1).view(-1, sums.shape[1])
    rows += F.embedding_bag(which.entries, products.to(sums.dtype), which.starts, mode="sum")


def _multiply(x: Tensor, tap: Tensor, *, groups: int, out: Tensor) -> None:
    """(p, I) and a tap (O, I/groups) to (p, O)."""
    if groups == 1:
        torch.mm(x, tap.t(), out=out)
    elif groups == x.shape[1] == tap.shape[0]:
        torch.mul(x, tap[:, 0], out=out)
    else:
        out.copy_(torch.einsum("pgi,goi->pgo", _grouped(x, groups), _split(tap, groups)).flatten(1))


def _multiply_back(y: Tensor, tap: Tensor, *, groups: int, out: Tensor) -> None:
    """(p, O) and a tap (O, I/groups) to (p, I)."""
    if groups == 1:
        torch.mm(y, tap, out=out)
    elif groups == y.shape[1] and tap.shape[1] == 1:
        torch.mul(y, tap[:, 0], out=out)
    else:
        out.copy_(torch.einsum("pgo,goi->pgi", _grouped(y, groups), _split(tap, groups)).flatten(1))


def _correlate(x: Tensor, y: Tensor, *, groups: int, out: Tensor) -> None:
    """(p, I) and (p, O) summed over pairs to a tap (O, I/groups)."""
    if groups == 1:
        out.addmm_(y.t(), x, beta=0)
    elif groups == x.shape[1] == y.shape[1]:
        torch.sum(x * y, 0, out=out[:, 0])
    else:
        tap = torch.einsum("pgo,pgi->goi", _grouped(y, groups), _grouped(x, groups))
        out.copy_(tap.flatten(0, 1))


def _grouped(rows: Tensor, groups: int) -> Tensor:
    return rows.view(len(rows), groups, -1)


def _split(tap: Tensor, groups: int) -> Tensor:
    return tap.view(groups, -1, tap.shape[1])
