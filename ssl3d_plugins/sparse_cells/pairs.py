"""Convolution over pairs of sites: one matrix product for each place in the kernel.

Computes only where both sites are visible. The fastest way where cells have few sites, so that
most of a kernel lies in other cells, of which most are hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, quotient, times
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.tables import site_pairs


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""
    pairs = site_pairs(cells, edge=_edge(fine), op=op)
    rows = fine.reshape(-1, fine.shape[-1])
    sums = _start(fine, bias, channels=weight.shape[0], edge=quotient(_edge(fine), op.stride))
    for tap, source, target in zip(_taps(weight), pairs.fine, pairs.coarse, strict=True):
        part = _multiply(rows.index_select(0, source), tap, groups=op.groups)
        _rows(sums).index_add_(0, target, part.to(sums.dtype))
    return sums.to(fine.dtype)


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    edge = times(_edge(coarse), op.stride)
    pairs = site_pairs(cells, edge=edge, op=op)
    rows = coarse.reshape(-1, coarse.shape[-1])
    sums = _start(coarse, bias, channels=weight.shape[1] * op.groups, edge=edge)
    for tap, source, target in zip(_taps(weight), pairs.coarse, pairs.fine, strict=True):
        part = _multiply_back(rows.index_select(0, source), tap, groups=op.groups)
        _rows(sums).index_add_(0, target, part.to(sums.dtype))
    return sums.to(coarse.dtype)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` from fine and coarse sites, one of them a gradient itself."""
    pairs = site_pairs(cells, edge=_edge(fine), op=op)
    x, y = fine.reshape(-1, fine.shape[-1]), coarse.reshape(-1, coarse.shape[-1])
    gradient = torch.empty_like(weight, memory_format=torch.channels_last_3d)
    for tap, source, target in zip(_taps(gradient), pairs.fine, pairs.coarse, strict=True):
        part = _correlate(x.index_select(0, source), y.index_select(0, target), groups=op.groups)
        tap.copy_(part)
    return gradient


def _edge(features: Tensor) -> Triple:
    _, z, y, x, _ = features.shape
    return (z, y, x)


def _taps(weight: Tensor) -> tuple[Tensor, ...]:
    """(O, I/groups, k…) as one (O, I/groups) matrix for each place in the kernel.

    Seen in channels-last memory, where the rows of a tap are contiguous: matrix products want
    that, and one copy of the whole weight is cheaper than one of each tap.
    """
    last = weight.contiguous(memory_format=torch.channels_last_3d).permute(0, 2, 3, 4, 1)
    return last.flatten(1, 3).unbind(1)


def _start(x: Tensor, bias: Tensor | None, *, channels: int, edge: Triple) -> Tensor:
    """(N, channels, edge…) filled with the bias, to add to in single precision at least."""
    sums = torch.empty(
        (x.shape[0], channels, *edge),
        dtype=torch.promote_types(x.dtype, torch.float32),
        device=x.device,
        memory_format=torch.channels_last_3d,
    )
    return sums.zero_() if bias is None else sums.copy_(bias.view(1, -1, 1, 1, 1))


def _rows(sums: Tensor) -> Tensor:
    """(N, C, …) in channels-last memory as rows (n, C) of the same memory."""
    return sums.permute(0, 2, 3, 4, 1).view(-1, sums.shape[1])


def _multiply(x: Tensor, tap: Tensor, *, groups: int) -> Tensor:
    """(n, I) rows and a tap (O, I/groups) to (n, O)."""
    if groups == 1:
        return x @ tap.t()
    if groups == x.shape[1] == tap.shape[0]:
        return x * tap.flatten()
    each = x.view(x.shape[0], groups, tap.shape[1])
    return torch.einsum("ngi,goi->ngo", each, _grouped(tap, groups)).flatten(1)


def _multiply_back(y: Tensor, tap: Tensor, *, groups: int) -> Tensor:
    """(n, O) rows and a tap (O, I/groups) to (n, I)."""
    if groups == 1:
        return y @ tap
    if groups == y.shape[1] and tap.shape[1] == 1:
        return y * tap.flatten()
    each = y.view(y.shape[0], groups, tap.shape[0] // groups)
    return torch.einsum("ngo,goi->ngi", each, _grouped(tap, groups)).flatten(1)


def _correlate(x: Tensor, y: Tensor, *, groups: int) -> Tensor:
    """(n, I) and (n, O) rows summed over n to a tap (O, I/groups)."""
    if groups == 1:
        return y.t() @ x
    if groups == x.shape[1] == y.shape[1]:
        return (x * y).sum(0)[:, None]
    n = x.shape[0]
    x, y = (t.view(n, groups, t.shape[1] // groups) for t in (x, y))
    return torch.einsum("ngo,ngi->goi", y, x).flatten(0, 1)


def _grouped(tap: Tensor, groups: int) -> Tensor:
    return tap.view(groups, tap.shape[0] // groups, tap.shape[1])
