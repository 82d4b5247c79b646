"""Index tables: which site lies where around a cell. `CellGrid.table` keeps them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Footprint, Triple, product
from ssl3d.sparse import CellGrid


class Reach(NamedTuple):
    """How many sites past each side of a cell an operation looks."""

    low: Triple
    high: Triple


def reach_down(op: Footprint) -> Reach:
    """What a coarse cell sees of the fine sites: site o meets o·s - p … o·s - p + k - 1."""
    z, y, x = (max(k - s - p, 0) for k, s, p in zip(*op, strict=True))
    return Reach(op.padding, (z, y, x))


def reach_up(op: Footprint) -> Reach:
    """What a fine cell sees of the coarse sites, the other way round."""
    sizes = list(zip(*op, strict=True))
    lz, ly, lx = ((k - 1 - p) // s for k, s, p in sizes)
    hz, hy, hx = ((s - 1 + p) // s for _, s, p in sizes)
    return Reach((lz, ly, lx), (hz, hy, hx))


def box_rows(cells: CellGrid, *, edge: Triple, reach: Reach) -> Tensor:
    """(N, lz+ez+hz, …) row of each site in the boxes that reach past each cell.

    Rows number the N·e³ visible sites; N·e³ itself stands where a site is hidden or outside. A
    table of its own, or what others are made from. 32-bit where such numbers fit.
    """
    far_z, far_y, far_x = map(max, *reach)
    far: Triple = (far_z, far_y, far_x)
    if reach != Reach(far, far):  # a strided convolution sees a part of what the others do
        whole = cells.table(box_rows, edge=edge, reach=Reach(far, far))
        for axis, (f, e, lo, hi) in enumerate(zip(far, edge, *reach, strict=True)):
            whole = whole.narrow(axis + 1, f - lo, lo + e + hi)
        return whole.clone(memory_format=torch.contiguous_format)  # `box_sources` writes into it
    sites = cells.n * product(edge)
    around = cells_around(cells, edge=edge, reach=reach).to(
        torch.int32 if sites < 1 << 31 else torch.int64
    )
    axes: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}  # alike for most cells
    for key in (sizes := list(zip(edge, *reach, around.shape[1:], strict=True))):
        if key not in axes:
            axes[key] = _along(*key, like=around)
    (in_z, z), (in_y, y), (in_x, x) = (axes[key] for key in sizes)
    cell = around[:, in_z[:, None, None], in_y[:, None], in_x]
    line = torch.add(y[:, None], z[:, None, None], alpha=edge[1])
    site = torch.add(x, line, alpha=edge[2])
    return torch.add(site, cell, alpha=product(edge)).clamp_max_(sites)


def _along(edge: int, low: int, high: int, around: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """(low + edge + high,) of the sites on an axis of a box: which cell around, and where in it."""
    first = around // 2 * edge
    site = torch.arange(first - low, first + edge + high, device=like.device, dtype=like.dtype)
    return site // edge, site % edge


def kernel_rows(cells: CellGrid, *, edge: Triple, op: Footprint) -> Tensor:
    """(places, coarse sites) row of the fine site that a coarse one sees at each place of a kernel.

    `edge` is sites per cell on the fine side; N·e³ stands where a site is hidden or outside.
    """
    rows = box_rows(cells, edge=edge, reach=reach_down(op))
    for axis, (k, s) in enumerate(zip(op.kernel, op.stride, strict=True)):
        rows = rows.unfold(axis + 1, k, s)
    return rows.flatten(0, 3).flatten(1).t()


class BoxSources(NamedTuple):
    """Where the sites of boxes come from, to be read some cells at a time.

    Attributes:
        rows: (N, lz+ez+hz, …) as in `box_rows`, but any row where nothing is seen.
        empty: places in all boxes where nothing is seen, ascending.
        starts: how many of those lie before each cell, and their number.
    """

    rows: Tensor
    empty: Tensor
    starts: tuple[int, ...]

    def part(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """Rows of the boxes of cells from `first` to before `end`, and the empty places there."""
        rows = self.rows[first:end]
        empty = self.empty[self.starts[first] : self.starts[end]]
        return rows, empty - first * self.rows[0].numel() if first else empty


def box_sources(cells: CellGrid, *, edge: Triple, reach: Reach) -> BoxSources:
    """What fills the boxes that reach past each cell; for CPUs, since its size is in the draw."""
    rows = box_rows(cells, edge=edge, reach=reach)
    unseen = rows == cells.n * product(edge)
    before = unseen.flatten(1).sum(1).cumsum(0).tolist()
    return BoxSources(
        rows.masked_fill_(unseen, 0), unseen.flatten().nonzero().flatten(), (0, *before)
    )


class Side(NamedTuple):
    """What boxes hold of one neighbour of their cell.

    Attributes:
        neighbour: which one, counted from the cell itself.
        inside_box: where its sites stand in the box.
        inside_cell: where they stand in the neighbour.
    """

    neighbour: Triple
    inside_box: tuple[slice, slice, slice]
    inside_cell: tuple[slice, slice, slice]


def box_sides(edge: Triple, reach: Reach) -> Iterator[Side]:
    """The sides of a box that reaches past a cell of `edge`, the cell itself left out."""
    for axes in itertools.product(*map(_parts, edge, *reach)):
        (z, in_z, at_z), (y, in_y, at_y), (x, in_x, at_x) = axes
        if (z, y, x) != (0, 0, 0):
            yield Side((z, y, x), (in_z, in_y, in_x), (at_z, at_y, at_x))


def _parts(edge: int, low: int, high: int) -> Iterator[tuple[int, slice, slice]]:
    """The sides of a box on one axis."""
    for cell in range(-_ceil(low, edge), _ceil(high, edge) + 1):
        first, end = max(cell * edge, -low), min((cell + 1) * edge, edge + high)
        yield (
            cell,
            slice(first + low, end + low),
            slice(first - cell * edge, end - cell * edge),
        )


def cells_around(cells: CellGrid, *, edge: Triple, reach: Reach) -> Tensor:
    """(N, 2·fz+1, …) rows of the cells that boxes reach, N where hidden or outside.

    f: how many cells a box reaches into on either side.
    """
    far = [_ceil(max(lo, hi), e) for lo, hi, e in zip(*reach, edge, strict=True)]
    return _neighbourhood(cells, (far[0], far[1], far[2]))


def _neighbourhood(cells: CellGrid, far: Triple) -> Tensor:
    """(N, 2·fz+1, 2·fy+1, 2·fx+1) rows of the cells around each, N where hidden or outside."""
    if max(far) <= 1:
        z, y, x = (slice(1 - f, 2 + f) for f in far)
        return cells.neighbours.view(-1, 3, 3, 3)[:, z, y, x]
    (fz, fy, fx), (gd, gh, gw) = far, cells.grid
    padded = cells.rows.new_full((cells.batch, gd + 2 * fz, gh + 2 * fy, gw + 2 * fx), cells.n)
    padded[:, fz : fz + gd, fy : fy + gh, fx : fx + gw] = cells.rows
    around = padded.unfold(1, 2 * fz + 1, 1).unfold(2, 2 * fy + 1, 1).unfold(3, 2 * fx + 1, 1)
    return around.flatten(0, 3).index_select(0, cells.positions)


def _ceil(sites: int, edge: int) -> int:
    """How many cells so many sites reach into."""
    return -(-sites // edge)
