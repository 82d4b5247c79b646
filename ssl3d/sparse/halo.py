"""Cells with the sites around them: gathered from visible neighbours, filled where hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import Reach, box_sides, box_sources

CHUNK_VALUES = 1 << 22
"""Values of the boxes that are in memory at once on a CPU; 16 MiB in single precision.

Larger ones leave the cache and cost fresh pages: at 32³ sites a convolution takes a sixth longer.
"""

NOWHERE: Reach = Reach((0, 0, 0), (0, 0, 0))


def take(features: Tensor, *, cells: CellGrid, reach: Reach, fill: float = 0.0) -> Tensor:
    """(N, e…, C) to boxes (N, l+e+h…, C); hidden sites and those outside hold `fill`."""
    ((_, boxes),) = _boxes(features, cells, reach, fill, step=max(cells.n, 1))
    return boxes


def take_chunks(
    features: Tensor, *, cells: CellGrid, reach: Reach
) -> Iterator[tuple[slice, Tensor]]:
    """The boxes of some cells at a time, with zeros: which cells, and (n, l+e+h…, C).

    Boxes hold until the next ones are asked for.
    """
    per_cell = features.shape[4]
    for low, edge, high in zip(reach.low, features.shape[1:4], reach.high, strict=True):
        per_cell *= low + edge + high
    whole = features.device.type != "cpu"
    step = max(cells.n, 1) if whole else max(CHUNK_VALUES // per_cell, 1)
    return _boxes(features, cells, reach, 0.0, step=step)


def _boxes(
    features: Tensor, cells: CellGrid, reach: Reach, fill: float, *, step: int
) -> Iterator[tuple[slice, Tensor]]:
    if reach == NOWHERE:
        yield slice(0, cells.n), features
        return
    _, ez, ey, ex, channels = features.shape
    source = cells.table(box_sources, edge=(ez, ey, ex), reach=reach)
    sites = features.reshape(-1, channels)
    per_cell = source.rows[0].numel() if cells.n else 0
    memory = sites.new_empty(min(step, cells.n) * per_cell, channels)
    for start in range(0, max(cells.n, 1), step):
        rows, empty = source.part(start, min(start + step, cells.n))
        boxes = memory[: rows.numel()]
        torch.index_select(sites, 0, rows.flatten(), out=boxes)
        boxes.index_fill_(0, empty, fill)
        yield slice(start, start + len(rows)), boxes.view(*rows.shape, channels)


def put_back(boxes: Tensor, *, cells: CellGrid, edge: Triple, reach: Reach) -> Tensor:
    """The adjoint of `take`: (N, l+e+h…, C) summed into the cells (N, e…, C) they came from.

    One side of the boxes after another: none holds a site twice, so the order of sums is fixed.
    """
    if reach == NOWHERE:
        return boxes
    z, y, x = (slice(lo, lo + e) for lo, e in zip(reach.low, edge, strict=True))
    sums = boxes[:, z, y, x].clone(memory_format=torch.contiguous_format)
    sites, sources = (t.view(-1, t.shape[-1]) for t in (sums, boxes))
    for inside_box, rows in cells.table(box_sides, edge=edge, reach=reach):
        sites.index_add_(0, rows, sources.index_select(0, inside_box))
    return sums


def halo(features: Tensor, *, cells: CellGrid, reach: Reach, fill: float = 0.0) -> Tensor:
    """`take` with a gradient."""
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
