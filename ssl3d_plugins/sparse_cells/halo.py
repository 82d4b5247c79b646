"""Cells with the sites around them: gathered from visible neighbours, filled where hidden."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.tables import Reach, box_rows


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

    One part of the box after another, each from another neighbour: no part holds a site twice, so
    the order of the sums is fixed.
    """
    if reach == ((0, 0, 0), (0, 0, 0)):
        return boxes
    channels = boxes.shape[-1]
    rows = box_rows(cells, edge=edge, reach=reach)
    sites = boxes.new_zeros(cells.n * edge[0] * edge[1] * edge[2] + 1, channels)
    z, y, x = (_parts(e, lo, hi) for e, lo, hi in zip(edge, *reach, strict=True))
    for part in ((slice(None), a, b, c) for a in z for b in y for c in x):
        sites.index_add_(0, rows[part].flatten(), boxes[part].reshape(-1, channels))
    return sites[:-1].view(cells.n, *edge, channels)


def _parts(edge: int, low: int, high: int) -> list[slice]:
    """Cut an axis of a box where one neighbour ends and the next begins."""
    first = -(-low // edge) * edge
    cuts = [0, *range(low - first + edge, low + edge + high, edge), low + edge + high]
    return [slice(a, b) for a, b in itertools.pairwise(cuts) if b > a]


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
