"""The grid of cells of a batch: which are visible, and how dense volumes map to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from ssl3d.geometry import Triple, divides, product, quotient, show

T = TypeVar("T")
P = ParamSpec("P")


def split_cells(volume: Tensor, *, cell: Triple) -> Tensor:
    """Cut a volume into cells.

    Args:
        volume: (B, C, D, H, W), edges multiples of `cell`.
        cell: sites per cell, (z, y, x).

    Returns:
        (B·Gd·Gh·Gw, cd, ch, cw, C), cells in raster order.
    """
    b, c, *size = volume.shape
    (gd, gh, gw), (cd, ch, cw) = quotient((size[0], size[1], size[2]), cell), cell
    boxes = volume.reshape(b, c, gd, cd, gh, ch, gw, cw).permute(0, 2, 4, 6, 3, 5, 7, 1)
    return boxes.reshape(b * gd * gh * gw, cd, ch, cw, c)


def join_cells(boxes: Tensor, *, grid: Triple) -> Tensor:
    """Inverse of `split_cells`; the result is channels-last in memory."""
    n, cd, ch, cw, c = boxes.shape
    gd, gh, gw = grid
    b = n // product(grid)
    dense = boxes.reshape(b, gd, gh, gw, cd, ch, cw, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return dense.reshape(b, gd * cd, gh * ch, gw * cw, c).permute(0, 4, 1, 2, 3)


class CellGrid:
    """Which cells of a batch are visible, and the tables that follow from it.

    Built once per batch and shared by all stages; tables are made on first use and kept here,
    in no global.

    Args:
        visible: (B, Gd, Gh, Gw) bool.
        cell: voxels per cell, (z, y, x).

    Raises:
        ValueError: `visible` is not a boolean (B, Gd, Gh, Gw) tensor.
    """

    def __init__(self, visible: Tensor, *, cell: Triple) -> None:
        if visible.dtype != torch.bool or visible.dim() != 4:
            raise ValueError(
                f"visible must be a boolean tensor (B, Gd, Gh, Gw), got {visible.dtype} of shape "
                f"{tuple(visible.shape)}"
            )
        self.visible = visible
        self.cell = cell
        self._tables: dict[Any, Any] = {}

    @property
    def batch(self) -> int:
        """Samples in the batch, B."""
        return self.visible.shape[0]

    @property
    def grid(self) -> Triple:
        """Cells per axis, (Gd, Gh, Gw)."""
        _, gd, gh, gw = self.visible.shape
        return (gd, gh, gw)

    @functools.cached_property
    def positions(self) -> Tensor:
        """(N,) raster index of each visible cell in the batch's B·Gd·Gh·Gw cells."""
        return self.visible.flatten().nonzero().flatten()

    @functools.cached_property
    def cell_coordinates(self) -> Tensor:
        """(N, 4) long: sample, z, y, x of each visible cell, in raster order."""
        return self.visible.nonzero()

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Visible cells of each sample."""
        return tuple(self.visible.flatten(1).sum(1).tolist())

    @property
    def n(self) -> int:
        """Visible cells in the batch, N."""
        return self.positions.shape[0]

    @functools.cached_property
    def rows(self) -> Tensor:
        """(B, Gd, Gh, Gw) long: the row of each visible cell, N where hidden."""
        rows = torch.full_like(self.visible, self.n, dtype=torch.long).flatten()
        rows[self.positions] = torch.arange(self.n, device=rows.device)
        return rows.view(self.visible.shape)

    @functools.cached_property
    def neighbours(self) -> Tensor:
        """(N, 27) long: rows of the 3³ neighbourhood (z slowest), N where hidden or outside."""
        b, gd, gh, gw = self.visible.shape
        padded = self.rows.new_full((b, gd + 2, gh + 2, gw + 2), self.n)
        padded[:, 1:-1, 1:-1, 1:-1] = self.rows
        shifted = [
            padded[:, z : z + gd, y : y + gh, x : x + gw]
            for z in range(3)
            for y in range(3)
            for x in range(3)
        ]
        return torch.stack(shifted, -1).flatten(0, 3).index_select(0, self.positions)

    def prepared(self) -> CellGrid:
        """This grid with what follows from the draw computed."""
        for name in self._DRAWN:
            getattr(self, name)
        return self

    _DRAWN = ("positions", "cell_coordinates", "rows", "neighbours", "counts")

    def to(self, device: torch.device | str) -> CellGrid:
        """The same grid on another device."""
        moved = CellGrid(self.visible.to(device, non_blocking=True), cell=self.cell)
        for name in self._DRAWN[:-1]:
            moved.__dict__[name] = getattr(self, name).to(device, non_blocking=True)
        moved.__dict__["counts"] = self.counts
        return moved

    def pin_memory(self) -> CellGrid:
        """The same grid in pinned memory."""
        pinned = CellGrid(self.visible.pin_memory(), cell=self.cell)
        for name in self._DRAWN[:-1]:
            pinned.__dict__[name] = getattr(self, name).pin_memory()
        pinned.__dict__["counts"] = self.counts
        return pinned

    def coordinates(self, stride: Triple) -> Tensor:
        """(N·c³, 4) int32 contiguous: sample, z, y, x of each visible site, in row order.

        Coordinates count sites at this stride (voxels per site), as sparse libraries want them.
        """
        return self.table(CellGrid._coordinates, stride)

    def _coordinates(self, stride: Triple) -> Tensor:
        edge = quotient(self.cell, stride)
        device = self.visible.device
        inside = torch.cartesian_prod(*(torch.arange(e, device=device) for e in edge))
        cells = self.cell_coordinates
        origin = cells[:, 1:] * torch.tensor(edge, device=device)
        sites = (origin[:, None] + inside.view(1, -1, 3)).flatten(0, 1)
        samples = cells[:, :1].repeat_interleave(product(edge), 0)
        return torch.cat([samples, sites], 1).to(torch.int32).contiguous()

    def table(
        self, make: Callable[Concatenate[CellGrid, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """`make(self, …)`, made once and kept on this grid: halo indices, kernel maps.

        Args:
            make: a function of a module or class; with what it is given it is the key.
            args: hashable, as `options` are.
            options: by name.
        """
        key = (make, args, tuple(sorted(options.items())))
        if key not in self._tables:
            self._tables[key] = make(self, *args, **options)
        found: T = self._tables[key]
        return found

    def gather(self, volume: Tensor, *, stride: Triple = (1, 1, 1)) -> Tensor:
        """The visible cells of a dense volume at `stride`.

        Args:
            volume: (B, C, D, H, W), D·stride = Gd·cell.

        Returns:
            (N, cd, ch, cw, C) contiguous.

        Raises:
            ValueError: the volume's size does not fit the grid.
        """
        self.check_size(volume, stride=stride)
        boxes = split_cells(volume, cell=quotient(self.cell, stride))
        return boxes.index_select(0, self.positions)

    def scatter(self, features: Tensor, *, fill: Tensor | None = None) -> Tensor:
        """A dense (B, C, D, H, W) volume from cells, channels-last in memory.

        Args:
            features: (N, cd, ch, cw, C).
            fill: (C,) value of hidden sites, zero by default.
        """
        shape = (self.batch * product(self.grid), *features.shape[1:])
        base = features.new_zeros(shape) if fill is None else fill.to(features).expand(shape)
        return join_cells(base.index_copy(0, self.positions, features), grid=self.grid)

    def check_size(self, volume: Tensor, *, stride: Triple = (1, 1, 1)) -> None:
        """Raise ValueError where a dense volume does not lie on this grid."""
        size = tuple(volume.shape[2:])
        edge = quotient(self.cell, stride)
        expected = tuple(g * e for g, e in zip(self.grid, edge, strict=True))
        if volume.dim() != 5 or size != expected or volume.shape[0] != self.batch:
            raise ValueError(
                f"volume has shape {tuple(volume.shape)}; this grid of {self.batch} × "
                f"{show(self.grid)} cells of {show(edge)} sites needs "
                f"({self.batch}, C, {', '.join(map(str, expected))})"
            )


def grid_of(volume: Tensor, *, cell: Triple) -> Triple:
    """Cells per axis of a volume (B, C, D, H, W).

    Raises:
        ValueError: an edge is not a multiple of the cell's.
    """
    size = (volume.shape[-3], volume.shape[-2], volume.shape[-1])
    if volume.dim() != 5 or not divides(cell, size):
        raise ValueError(
            f"volume has shape {tuple(volume.shape)}; it must be (B, C, D, H, W) with D, H, W "
            f"multiples of the cell {show(cell)}: crop or pad it"
        )
    return quotient(size, cell)
