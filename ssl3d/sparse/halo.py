"""Cells with the sites around them: gathered from visible neighbours, filled where hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import Reach, box_rows, box_sides, box_sources, cells_around

CHUNK_VALUES = 1 << 22
"""Values of the boxes that are in memory at once on a CPU; 16 MiB in single precision.

Larger ones leave the cache and cost fresh pages: at 32³ sites a convolution takes a sixth longer.
"""

NOWHERE: Reach = Reach((0, 0, 0), (0, 0, 0))


def take(features: Tensor, *, cells: CellGrid, reach: Reach, fill: float = 0.0) -> Tensor:
    """(N, e…, C) to boxes (N, l+e+h…, C); hidden sites and those outside hold `fill`."""
    if reach == NOWHERE:
        return features
    rows = cells.table(box_rows, edge=_edge(features), reach=reach)
    channels = features.shape[-1]
    nowhere = cells.table(one_row, channels=channels, fill=fill, dtype=features.dtype)
    filled = torch.cat([features.reshape(-1, channels), nowhere])
    return filled.index_select(0, rows.flatten()).view(*rows.shape, channels)


def take_chunks(
    features: Tensor, *, cells: CellGrid, reach: Reach
) -> Iterator[tuple[slice, Tensor]]:
    """The boxes of some cells at a time, with zeros: which cells, and (n, l+e+h…, C).

    Boxes hold until the next ones are asked for.
    """
    per_cell = features.shape[4]
    for low, edge, high in zip(reach.low, features.shape[1:4], reach.high, strict=True):
        per_cell *= low + edge + high
    step = max(CHUNK_VALUES // per_cell, 1)
    here = features.device.type == "cpu" and not torch.compiler.is_compiling()
    if here and step < cells.n and reach != NOWHERE:
        yield from _some_at_a_time(features, cells=cells, reach=reach, step=step)
    else:
        yield slice(0, cells.n), take(features, cells=cells, reach=reach)


def _some_at_a_time(
    features: Tensor, *, cells: CellGrid, reach: Reach, step: int
) -> Iterator[tuple[slice, Tensor]]:
    """As `take`, in the same memory for all and without a copy of many features."""
    source = cells.table(box_sources, edge=_edge(features), reach=reach)
    channels = features.shape[-1]
    sites = features.reshape(-1, channels)
    memory = sites.new_empty(step * source.rows[0].numel(), channels)
    for start in range(0, cells.n, step):
        rows, empty = source.part(start, min(start + step, cells.n))
        boxes = memory[: rows.numel()]
        torch.index_select(sites, 0, rows.flatten(), out=boxes)
        boxes.index_fill_(0, empty, 0.0)
        yield slice(start, start + len(rows)), boxes.view(*rows.shape, channels)


def put_back(boxes: Tensor, *, cells: CellGrid, edge: Triple, reach: Reach) -> Tensor:
    """The adjoint of `take`: (N, l+e+h…, C) summed into the cells (N, e…, C) they came from.

    Each cell reads what the boxes of its neighbours hold of it, one neighbour after another, so
    the order of sums is fixed.
    """
    if reach == NOWHERE:
        return boxes
    inside = tuple(slice(lo, lo + e) for lo, e in zip(reach.low, edge, strict=True))
    sums = boxes[:, *inside].clone(memory_format=torch.contiguous_format)
    around = cells.table(cells_around, edge=edge, reach=reach)
    middle = [size // 2 for size in around.shape[1:]]
    for side in box_sides(edge, reach):
        z, y, x = (m - offset for m, offset in zip(middle, side.neighbour, strict=True))
        held = boxes[:, *side.inside_box]
        held = torch.cat([held, held.new_zeros(1, *held.shape[1:])])
        sums[:, *side.inside_cell] += held.index_select(0, around[:, z, y, x])
    return sums


def one_row(cells: CellGrid, *, channels: int, fill: float, dtype: torch.dtype) -> Tensor:
    """(1, C): what a site that is not seen holds."""
    return torch.full((1, channels), fill, dtype=dtype, device=cells.visible.device)


def _edge(features: Tensor) -> Triple:
    _, z, y, x, _ = features.shape
    return (z, y, x)


def halo(features: Tensor, *, cells: CellGrid, reach: Reach, fill: float = 0.0) -> Tensor:
    """`take` with a gradient."""
    if torch.compiler.is_compiling() and reach != NOWHERE:  # which makes none inside a Function
        edge = _edge(features)
        cells.table(box_rows, edge=edge, reach=reach)
        cells.table(one_row, channels=features.shape[-1], fill=fill, dtype=features.dtype)
        cells.table(cells_around, edge=edge, reach=reach)
    boxes = Halo.apply(features, cells, reach, fill)  # type: ignore[no-untyped-call]
    assert isinstance(boxes, Tensor)
    return boxes


class Halo(torch.autograd.Function):
    """`take` with `put_back` as its gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, cells: CellGrid, reach: Reach, fill: float) -> Tensor:
        ctx.cells, ctx.reach = cells, reach
        ctx.edge = tuple(features.shape[1:4])
        return take(features, cells=cells, reach=reach, fill=fill)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        back = put_back(grad.contiguous(), cells=ctx.cells, edge=ctx.edge, reach=ctx.reach)
        return back, None, None, None
