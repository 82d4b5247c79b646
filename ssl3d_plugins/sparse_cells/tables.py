"""Index tables: which site lies where around a cell. Built once per grid and kept on it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, product
from ssl3d.volume import CellGrid


def neighbourhood(cells: CellGrid, *, reach: Triple) -> Tensor:
    """(N, 2·rz+1, 2·ry+1, 2·rx+1) rows of the cells around each cell, N where hidden or outside."""
    if max(reach) <= 1:
        middle = [slice(1 - r, 2 + r) for r in reach]
        return cells.neighbours.view(-1, 3, 3, 3)[:, middle[0], middle[1], middle[2]]
    (rz, ry, rx), (gd, gh, gw) = reach, cells.grid
    padded = cells.rows.new_full((cells.batch, gd + 2 * rz, gh + 2 * ry, gw + 2 * rx), cells.n)
    padded[:, rz : rz + gd, ry : ry + gh, rx : rx + gw] = cells.rows
    around = padded.unfold(1, 2 * rz + 1, 1).unfold(2, 2 * ry + 1, 1).unfold(3, 2 * rx + 1, 1)
    return around.flatten(0, 3).index_select(0, cells.positions)


def window(cells: CellGrid, *, edge: Triple, low: Triple, high: Triple) -> Tensor:
    """(N, ed+ld+hd, …) row of each site in a box that reaches past each cell.

    Rows number the N·e³ visible sites; N·e³ itself stands where a site is hidden or outside.

    Args:
        cells: the grid.
        edge: sites per cell, e.
        low: how many sites the box reaches below the cell, l.
        high: how many it reaches above, h.
    """
    reach = [-(-max(lo, hi) // e) for lo, hi, e in zip(low, high, edge, strict=True)]
    rows = neighbourhood(cells, reach=(reach[0], reach[1], reach[2])) * product(edge)
    step = (edge[1] * edge[2], edge[2], 1)
    for axis, (e, lo, hi) in enumerate(zip(edge, low, high, strict=True)):
        site = torch.arange(-lo, e + hi, device=rows.device)
        inside = (site % e * step[axis]).view(-1, *(1,) * (2 - axis))
        rows = rows.index_select(axis + 1, site // e + reach[axis]) + inside
    return rows.clamp_max(cells.n * product(edge))


class Pairs(NamedTuple):
    """For each place in the kernel, which coarse sites meet which fine sites.

    A convolution goes from `fine` to `coarse`, a transposed one back. A site stands at most once
    in each entry, so that sums over one entry have one order: results are the same in every run.
    """

    fine: tuple[Tensor, ...]
    coarse: tuple[Tensor, ...]


def pairs(cells: CellGrid, *, edge: Triple, op: Operation) -> Pairs:
    """The pairs of a convolution with this kernel; `edge` is sites per cell on the fine side."""
    return cells.table(
        ("pairs", edge, op.kernel, op.stride, op.padding), lambda: _pairs(cells, edge, op)
    )


def _pairs(cells: CellGrid, edge: Triple, op: Operation) -> Pairs:
    above = [max(k - s - p, 0) for k, s, p in zip(op.kernel, op.stride, op.padding, strict=True)]
    rows = window(cells, edge=edge, low=op.padding, high=(above[0], above[1], above[2]))
    for axis, (k, s) in enumerate(zip(op.kernel, op.stride, strict=True)):
        rows = rows.unfold(axis + 1, k, s)
    table = rows.flatten(0, 3).flatten(1).t().contiguous()
    present = table < cells.n * product(edge)
    place, coarse = present.nonzero(as_tuple=True)
    counts = torch.bincount(place, minlength=product(op.kernel)).tolist()
    return Pairs(fine=table[present].split(counts), coarse=coarse.split(counts))
