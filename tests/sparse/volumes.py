"""Random grids of cells for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Triple, times
from ssl3d.sparse import CellGrid


def triples(low: int, high: int) -> st.SearchStrategy[Triple]:
    """One number per axis, drawn apart, so most are anisotropic."""
    one = st.integers(low, high)
    return st.tuples(one, one, one)


@dataclass(frozen=True)
class Case:
    """A grid with some visible cells, and a dense volume on it."""

    cells: CellGrid
    volume: Tensor

    @property
    def size(self) -> Triple:
        """Voxels per axis."""
        return times(self.cells.grid, self.cells.cell)


@st.composite
def cases(draw: st.DrawFn, *, min_visible: int = 0, edges: tuple[int, int] = (1, 3)) -> Case:
    """Random batch, grid, cell, channels and visible cells (at least so many in each sample)."""
    grid = draw(triples(1, 3))
    cell = draw(triples(*edges))
    batch, channels = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    count = grid[0] * grid[1] * grid[2]
    visible = torch.rand(batch, count, generator=random) < draw(st.floats(0, 1))
    visible[:, :min_visible] = True
    volume = torch.randn(batch, channels, *times(grid, cell), generator=random).double()
    return Case(CellGrid(visible.view(batch, *grid), cell=cell), volume)
