"""Convolution over pairs of sites: one matrix product for each place in the kernel.

Computes only where both sites are visible. The fastest way where cells have few sites, so that
most of a kernel lies in other cells, of which most are hidden. Places with about as many pairs are
multiplied at once: many small operations are slow on a busy machine.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, quotient, times
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.pair_tables import Sums, pair_groups


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, k…) to (N, O, e/s…)."""
    rows, taps = _rows(fine), _taps(weight)
    sums = _start(fine, bias, channels=weight.shape[0], edge=quotient(_edge(fine), op.stride))
    for group in pair_groups(cells, edge=_edge(fine), op=op):
        x = rows.index_select(0, group.fine).view(len(group.places), -1, rows.shape[1])
        y = _multiply(x, taps.index_select(1, group.places), groups=op.groups)
        _add(y, group.to_coarse, sums=sums)
    return sums.to(fine.dtype)


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I/groups, k…) to (N, I, e·s…)."""
    edge = times(_edge(coarse), op.stride)
    rows, taps = _rows(coarse), _taps(weight)
    sums = _start(coarse, bias, channels=weight.shape[1] * op.groups, edge=edge)
    for group in pair_groups(cells, edge=edge, op=op):
        y = rows.index_select(0, group.coarse).view(len(group.places), -1, rows.shape[1])
        x = _multiply_back(y, taps.index_select(1, group.places), groups=op.groups)
        _add(x, group.to_fine, sums=sums)
    return sums.to(coarse.dtype)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` from fine and coarse sites, one of them a gradient itself."""
    fine_rows, coarse_rows = _rows(fine), _rows(coarse)
    gradient = torch.zeros_like(weight, memory_format=torch.channels_last_3d)
    taps = _taps(gradient)
    for group in pair_groups(cells, edge=_edge(fine), op=op):
        places = len(group.places)
        x = fine_rows.index_select(0, group.fine).view(places, -1, fine_rows.shape[1])
        y = coarse_rows.index_select(0, group.coarse).view(places, -1, coarse_rows.shape[1])
        taps.index_copy_(1, group.places, _correlate(x, y, groups=op.groups).transpose(0, 1))
    return gradient


def _edge(features: Tensor) -> Triple:
    _, z, y, x, _ = features.shape
    return (z, y, x)


def _rows(features: Tensor) -> Tensor:
    """(N, e…, C) as rows, and one of zeros for padding."""
    rows = features.reshape(-1, features.shape[-1])
    return torch.cat([rows, rows.new_zeros(1, rows.shape[1])])


def _taps(weight: Tensor) -> Tensor:
    """(O, I/groups, k…) as (O, K, I/groups), the same memory where it is channels-last.

    Rows are contiguous then, as matrix products want them.
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
    """Add the products (k, p, C) of each site to `sums` (N, C, …), always in the same order."""
    rows = sums.permute(0, 2, 3, 4, 1).view(-1, sums.shape[1])
    each = products.flatten(0, 1).to(sums.dtype)
    rows += F.embedding_bag(which.entries, each, which.starts, mode="sum")


def _multiply(x: Tensor, taps: Tensor, *, groups: int) -> Tensor:
    """(k, p, I) and taps (O, k, I/groups) to (k, p, O)."""
    if groups == 1:
        return x @ taps.permute(1, 2, 0)
    if groups == x.shape[2] == taps.shape[0]:
        return x * taps.permute(1, 2, 0)
    x, taps = _grouped(x, groups), _grouped_taps(taps, groups)
    return torch.einsum("kpgi,goki->kpgo", x, taps).flatten(2)


def _multiply_back(y: Tensor, taps: Tensor, *, groups: int) -> Tensor:
    """(k, p, O) and taps (O, k, I/groups) to (k, p, I)."""
    if groups == 1:
        return y @ taps.transpose(0, 1)
    if groups == y.shape[2] and taps.shape[2] == 1:
        return y * taps.permute(1, 2, 0)
    y, taps = _grouped(y, groups), _grouped_taps(taps, groups)
    return torch.einsum("kpgo,goki->kpgi", y, taps).flatten(2)


def _correlate(x: Tensor, y: Tensor, *, groups: int) -> Tensor:
    """(k, p, I) and (k, p, O) summed over pairs to taps (k, O, I/groups)."""
    if groups == 1:
        return y.transpose(1, 2) @ x
    if groups == x.shape[2] == y.shape[2]:
        return (x * y).sum(1)[:, :, None]
    return torch.einsum("kpgo,kpgi->kgoi", _grouped(y, groups), _grouped(x, groups)).flatten(1, 2)


def _grouped(rows: Tensor, groups: int) -> Tensor:
    return rows.view(*rows.shape[:2], groups, rows.shape[2] // groups)


def _grouped_taps(taps: Tensor, groups: int) -> Tensor:
    return taps.view(groups, taps.shape[0] // groups, *taps.shape[1:])
