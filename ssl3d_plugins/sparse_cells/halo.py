"""Cells with the sites around them: gathered from visible neighbours, filled where hidden."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.tables import Reach, box_rows, box_sides


def take(features: Tensor, *, cells: CellGrid, reach: Reach, fill: float = 0.0) -> Tensor:
    """(N, e…, C) to boxes (N, l+e+h…, C); hidden sites and those outside hold `fill`."""
    if reach == ((0, 0, 0), (0, 0, 0)):
        return features
    _, ez, ey, ex, channels = features.shape
    rows = box_rows(cells, edge=(ez, ey, ex), reach=reach)
    filling = features.new_full((1, channels), fill)
    sites = torch.cat([features.reshape(-1, channels), filling])
    return sites.index_select(0, rows.flatten()).view(*rows.shape, channels)


def put_back(boxes: Tensor, *, cells: CellGrid, edge: Triple, reach: Reach) -> Tensor:
    """The adjoint of `take`: (N, l+e+h…, C) summed into the cells (N, e…, C) they came from.

    One side of the boxes after another: none holds a site twice, so the order of sums is fixed.
    """
    if reach == ((0, 0, 0), (0, 0, 0)):
        return boxes
    z, y, x = (slice(lo, lo + e) for lo, e in zip(reach.low, edge, strict=True))
    sums = boxes[:, z, y, x].clone(memory_format=torch.contiguous_format)
    sites, sources = (t.view(-1, t.shape[-1]) for t in (sums, boxes))
    for inside_box, rows in box_sides(cells, edge=edge, reach=reach):
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
