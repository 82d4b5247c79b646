"""The grid of cells of a batch: which are visible, and how dense volumes map to them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, quotient, show
from ssl3d.sparse.moved import moved
from ssl3d.sparse.split import join_cells, pick_cells

T = TypeVar("T")
P = ParamSpec("P")


class CellGrid:
    """Which cells of a batch are visible, and the tables that follow from it.

    Built once per batch and shared by all stages; tables are made on first use and kept here,
    in no global. What depends on the draw is computed on the host: a grid that is made and
    `prepared` where the draw is, and then moved, asks its device for nothing. One made from
    `visible` on a device fetches it once.

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
    def _drawn(self) -> Tensor:
        """`visible` on the host."""
        return self.visible.cpu()

    @functools.cached_property
    def positions(self) -> Tensor:
        """(N,) raster index of each visible cell in the batch's B·Gd·Gh·Gw cells."""
        return self._drawn.flatten().nonzero().flatten().to(self.visible.device)

    @functools.cached_property
    def cell_coordinates(self) -> Tensor:
        """(N, 4) long: sample, z, y, x of each visible cell, in raster order."""
        return self._drawn.nonzero().to(self.visible.device)

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Visible cells of each sample."""
        return tuple(self._drawn.flatten(1).sum(1).tolist())

    @functools.cached_property
    def n(self) -> int:
        """Visible cells in the batch, N."""
        return sum(self.counts)

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
        """Compute all that depends on the draw: what `to`, `pin_memory` and pickle take along."""
        for name in ("n", "cell_coordinates", "neighbours"):  # the others on the way
            getattr(self, name)
        return self

    def part(self, first: int, last: int) -> CellGrid:
        """The grid of the samples from `first` to before `last`; the device is asked nothing."""
        start, n = sum(self.counts[:first]), sum(self.counts[first:last])
        own, samples = slice(start, start + n), slice(first, last)
        sample, place = self.cell_coordinates[own, :1], self.cell_coordinates[own, 1:]
        rows, near = self.rows[samples], self.neighbours[own]
        other = CellGrid(self.visible[samples], cell=self.cell)
        other.__dict__ |= {
            "counts": self.counts[first:last],
            "n": n,
            "positions": self.positions[own] - first * product(self.grid),
            "cell_coordinates": torch.cat([sample - first, place], 1),
            "rows": torch.where(rows == self.n, n, rows - start),
            "neighbours": torch.where(near == self.n, n, near - start),
        }
        return other

    def pin_memory(self) -> CellGrid:
        """The same grid in memory that a device reads by itself; a `DataLoader` calls this."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device | str) -> CellGrid:
        """The same grid on another device, see `moved`, with tables still to be made."""
        here = self.visible.device == torch.device(device)
        return self if here else self._each(lambda tensor: moved(tensor, device))

    def _each(self, move: Callable[[Tensor], Tensor]) -> CellGrid:
        other = CellGrid.__new__(type(self))
        other.__dict__ = {
            name: move(value) if isinstance(value, Tensor) else value
            for name, value in self.prepared().__getstate__().items()
        }
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without tables, which a device makes faster than it receives them."""
        kept = {name: value for name, value in vars(self).items() if name != "_drawn"}
        return {**kept, "_tables": {}}

    def coordinates(self, stride: Triple) -> Tensor:
        """(N·c³, 4) int32 contiguous: sample, z, y, x of each visible site, in row order.

        Coordinates count sites at this stride (voxels per site), as sparse libraries want them.
        """
        return self.table(CellGrid._coordinates, stride)

    def _coordinates(self, stride: Triple) -> Tensor:
        edge, device = quotient(self.cell, stride), self.visible.device
        axes = (torch.arange(e, dtype=torch.int32, device=device) for e in edge)
        inside = torch.cartesian_prod(*axes)
        cells = self.cell_coordinates.to(torch.int32)[:, None].expand(-1, len(inside), -1)
        sites = [torch.add(inside[:, i], cells[..., i + 1], alpha=e) for i, e in enumerate(edge)]
        return torch.stack([cells[..., 0], *sites], -1).flatten(0, 1)

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
        where = self.cell_coordinates.unbind(1)
        return pick_cells(volume, where=where, cell=quotient(self.cell, stride))

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
