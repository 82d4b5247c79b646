"""Convolution of 3³ kernels with fewer products: minimal filtering along z and y.

A tile of 4 × 4 outputs in the plane of z and y takes 36 products for each place along x, where the
plain sum takes 144 (`minimal_filter`). Along x the sum stays: three neighbouring sites with their
channels are one row of a matrix product, read where they lie. T tiles of X sites along x:

    inputs (36, T, X + 2, C), gathered with their border -> b -> 36 matrix products with the
    transformed weight (36, 3·C, O) at each x -> a -> outputs (16, T, X, O)

The fastest way for many channels in cells of whole tiles. It sums in another order than a plain
convolution, so results agree to rounding; a site that is not finite spoils the tiles that see it,
not the outputs alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import Reach, box_rows
from ssl3d_plugins.sparse_cells.minimal_filter import (
    KERNEL,
    OUTPUTS,
    MinimalFilter,
    minimal_filter,
)

CHUNK_VALUES = 1 << 21
"""Values of the inputs that are in memory at once: larger ones leave the cache."""

REACH = Reach((1, 1, 1), (1, 1, 1))
INPUTS = OUTPUTS + KERNEL - 1


def fits(op: Operation, *, edge: Triple) -> bool:
    """True where this way computes `op` on cells of `edge`: 3³, one group, whole tiles."""
    return (
        op.kernel == (KERNEL, KERNEL, KERNEL)
        and (op.stride, op.padding, op.groups) == ((1, 1, 1), (1, 1, 1), 1)
        and edge[0] % OUTPUTS == edge[1] % OUTPUTS == 0
    )


def down(
    fine: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) and a weight (O, I, 3, 3, 3) to (N, O, e…)."""
    assert op.stride == (1, 1, 1)
    taps = weight.permute(0, 2, 3, 4, 1).reshape(weight.shape[0], KERNEL**2, -1)
    transformed = (_plane(weight).g @ taps).permute(1, 2, 0)
    return _convolve(fine, transformed, bias, cells=cells)


def up(
    coarse: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, O) and a weight (O, I, 3, 3, 3) to (N, I, e…)."""
    assert op.stride == (1, 1, 1)
    channels = weight.shape[1]
    mirrored = weight.flip(2, 3, 4).permute(2, 3, 4, 0, 1).reshape(KERNEL**2, -1)
    transformed = (_plane(weight).g @ mirrored).view(INPUTS**2, -1, channels)
    return _convolve(coarse, transformed, bias, cells=cells)


def weight_gradient(
    fine: Tensor, coarse: Tensor, weight: Tensor, *, cells: CellGrid, op: Operation
) -> Tensor:
    """Gradient of `weight` from fine and coarse sites, one of them a gradient itself."""
    assert op.stride == (1, 1, 1)
    (o, i), size = weight.shape[:2], fine.shape[3]
    a, g, _ = _plane(fine)
    transformed = fine.new_zeros(INPUTS**2, o, KERNEL * i)
    outputs, products = _Memory(fine), _Memory(fine)
    for where, inputs in _inputs(fine, cells=cells):
        tiles = _tiles(coarse[where])
        y = outputs.view(*tiles.shape).copy_(tiles).view(size, OUTPUTS**2, -1)
        m = products.view(size, INPUTS**2, y.shape[2])
        torch.bmm(a.t().expand(size, -1, -1), y, out=m)
        for x, each in enumerate(m.view(size, INPUTS**2, -1, o)):
            transformed.baddbmm_(each.transpose(1, 2), _window(inputs, x, channels=i))
    taps = g.t() @ transformed.transpose(0, 1)
    return taps.view(o, KERNEL, KERNEL, KERNEL, i).permute(0, 4, 1, 2, 3)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid) -> Tensor:
    """(N, Z, Y, X, C) and a transformed weight (36, 3·C, O) to (N, O, Z, Y, X)."""
    _, *edge, channels = x.shape
    size, o = edge[2], weight.shape[2]
    a = _plane(x).a.expand(size, -1, -1)
    result = torch.empty(
        (cells.n, o, *edge), dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d
    )
    boxes = result.permute(0, 2, 3, 4, 1)
    products, outputs = _Memory(x), _Memory(x)
    for where, inputs in _inputs(x, cells=cells):
        m = products.view(size, INPUTS**2, inputs.shape[1], o)
        for i, each in enumerate(m):
            torch.bmm(_window(inputs, i, channels=channels), weight, out=each)
        y = outputs.view(size, OUTPUTS**2, inputs.shape[1] * o)
        torch.bmm(a, m.view(size, INPUTS**2, -1), out=y)
        tiles = _tiles(boxes[where])
        tiles.copy_(y.view(tiles.shape))
        if bias is not None:
            tiles += bias
    return result


def _inputs(features: Tensor, *, cells: CellGrid) -> Iterator[tuple[slice, Tensor]]:
    """Of some cells at a time: which, and their transformed inputs (36, T, (X + 2)·C).

    They hold until the next ones are asked for.
    """
    _, ez, ey, ex, channels = features.shape
    table = cells.table(_tile_rows, (ez, ey, ex))
    sites = torch.cat([features.reshape(-1, channels), features.new_zeros(1, channels)])
    b = _plane(features).b
    gathered, transformed = _Memory(features), _Memory(features)
    step = max(CHUNK_VALUES // (table[:, :1].numel() * channels), 1) if cells.n else 1
    for start in range(0, cells.n, step):
        rows = table[:, start : start + step]
        d = gathered.view(rows.numel(), channels)
        torch.index_select(sites, 0, rows.flatten(), out=d)
        inputs = transformed.view(INPUTS**2, rows[0].numel() * channels)
        torch.mm(b, d.view(INPUTS**2, -1), out=inputs)
        width = rows.shape[3] * channels
        yield slice(start, start + rows.shape[1]), inputs.view(INPUTS**2, -1, width)


def _tile_rows(cells: CellGrid, edge: Triple) -> Tensor:
    """(36, N, tiles of a cell, X + 2): row of each site in each tile with its border."""
    rows = box_rows(cells, edge=edge, reach=REACH)
    tiles = rows.unfold(1, INPUTS, OUTPUTS).unfold(2, INPUTS, OUTPUTS)  # N, tz, ty, X + 2, 6, 6
    return tiles.permute(4, 5, 0, 1, 2, 3).flatten(3, 4).flatten(0, 1)


def _tiles(boxes: Tensor) -> Tensor:
    """(n, Z, Y, X, C) seen as (X, 4, 4, n, Z/4, Y/4, C)."""
    n, z, y, x, c = boxes.shape
    cut = boxes.view(n, z // OUTPUTS, OUTPUTS, y // OUTPUTS, OUTPUTS, x, c)
    return cut.permute(5, 2, 4, 0, 1, 3, 6)


def _window(inputs: Tensor, x: int, *, channels: int) -> Tensor:
    """(36, T, (X + 2)·C) to (36, T, 3·C): what the output at x sees."""
    return inputs[:, :, x * channels : (x + KERNEL) * channels]


def _plane(like: Tensor) -> MinimalFilter:
    """The matrices for z and y at once."""
    return MinimalFilter(*(torch.kron(matrix, matrix) for matrix in minimal_filter(like)))


class _Memory:
    """Memory that is used again by one chunk after another, none larger than the first."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._values: Tensor | None = None

    def view(self, *shape: int) -> Tensor:
        """A tensor of this shape with any values, in the memory of the one before."""
        count = math.prod(shape)
        if self._values is None:
            self._values = self._like.new_empty(count)
        return self._values[:count].view(shape)
