"""The library may list sites in an order of its own, and drops duplicates without a word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.sparse import CellGrid
from ssl3d.testing.sparse_cases import LARGER, Case, draw_inputs, half_visible
from ssl3d.testing.sparse_run import assert_close, run
from ssl3d_plugins.sparse_dense import Dense
from ssl3d_plugins.sparse_minkowski import Minkowski

library = pytest.importorskip("MinkowskiEngine", reason="needs: ssl3d install minkowski")


@pytest.fixture
def shuffled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the library keep sites in a random order; gives how many it was given, each time."""
    manager, counts = library.CoordinateManager, []
    insert, generator = manager.insert_and_map, torch.Generator().manual_seed(0)

    def insert_shuffled(
        self: object, coordinates: Tensor, *given: object
    ) -> tuple[object, tuple[Tensor, Tensor]]:
        counts.append(len(coordinates))
        shuffle = torch.randperm(len(coordinates), generator=generator)
        key, (order, back) = insert(self, coordinates[shuffle].contiguous(), *given)
        return key, (shuffle[order.long()], back.long()[shuffle.argsort()])

    monkeypatch.setattr(manager, "insert_and_map", insert_shuffled)
    return counts


@pytest.mark.parametrize("case", [c for c in LARGER if not c.op.inside_cells], ids=str)
def test_results_come_back_in_our_order(case: Case, shuffled: list[int]) -> None:
    visible = half_visible()
    inputs, cells = draw_inputs(case, visible), CellGrid(visible, cell=case.cell)
    found = run(Minkowski().build(), case, inputs, cells=cells)
    stages = 1 if case.op.stride == (1, 1, 1) else 2
    assert len(shuffled) == stages, "each stage was entered once, shuffled"
    assert min(shuffled) > 8
    assert_close(found, run(Dense().build(), case, inputs, cells=cells), tolerance=1e-9)


def test_sites_given_twice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl3d_plugins.sparse_minkowski.maps import sites_of

    cells = CellGrid(half_visible(), cell=(2, 2, 2))
    coordinates = CellGrid.coordinates

    def last_twice(self: CellGrid, stride: Triple) -> Tensor:
        sites = coordinates(self, stride)
        return torch.cat([sites, sites[-1:]])

    monkeypatch.setattr(CellGrid, "coordinates", last_twice)
    with pytest.raises(AssertionError, match="drops duplicates"):
        sites_of(cells, stride=(1, 1, 1))
