"""The visible part of a volume, and what is hidden."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from volumes import Case, cases, triples

from ssl3d.geometry import Triple
from ssl3d.sparse import CellGrid, HiddenLevels, SparseVolume
from ssl3d.sparse.hidden import cells_to_voxels, check_levels, voxels_to_cells
from ssl3d_plugins.sparse_cells import Cells

BACKEND = Cells().build()


@given(cases())
def test_rows_and_coordinates_name_the_same_voxels(case: Case) -> None:
    x = SparseVolume.from_dense(case.volume, cells=case.cells, backend=BACKEND)
    assert x.sites.shape == (len(x.coordinates), case.volume.shape[1])
    assert sum(x.site_counts) == len(x.sites)
    b, z, y, w = x.coordinates.long().unbind(1)
    assert torch.equal(case.volume[b, :, z, y, w], x.sites)


@given(cases())
def test_arithmetic_equals_that_of_the_dense_volume(case: Case) -> None:
    x = SparseVolume.from_dense(case.volume, cells=case.cells, backend=BACKEND)
    total = (x + x.map(torch.tanh)).to_dense()
    visible = cells_to_voxels(case.cells.visible, cell=case.cells.cell)[:, None]
    assert torch.equal(total, (case.volume + case.volume.tanh()) * visible)


def test_volumes_on_other_grids_or_stages_do_not_add() -> None:
    visible = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    x, y = (
        SparseVolume.from_dense(
            torch.zeros(1, 1, 2, 2, 4), cells=CellGrid(visible, cell=(2, 2, 2)), backend=BACKEND
        )
        for _ in range(2)
    )
    with pytest.raises(AssertionError, match="different grids"):
        x + y
    with pytest.raises(AssertionError, match="different stages"):
        x + x.with_features(x.features[:, :1, :1, :1], stride=(2, 2, 2))


@given(cell=triples(1, 3), grid=triples(1, 3), seed=st.integers(0, 99))
def test_hidden_cells_and_hidden_voxels_say_the_same(cell: Triple, grid: Triple, seed: int) -> None:
    hidden = torch.rand(2, *grid, generator=torch.Generator().manual_seed(seed)) < 0.5
    voxels = cells_to_voxels(hidden, cell=cell)
    assert torch.equal(voxels_to_cells(voxels, cell=cell), hidden)
    assert torch.equal(HiddenLevels((hidden,)).voxels(cell)[0], voxels)
    if max(cell) > 1:
        torn = voxels.clone()
        torn[0, -1, -1, -1] ^= True
        with pytest.raises(ValueError, match="whole cells"):
            voxels_to_cells(torn, cell=cell)


def test_levels_that_do_not_nest_are_refused() -> None:
    outer = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="level 1 hides cells that level 0 shows"):
        check_levels((outer, ~outer), weights=(1.0, 1.0))
    with pytest.raises(ValueError, match="one weight for each"):
        check_levels((outer, outer), weights=(1.0,))
    with pytest.raises(ValueError, match="differ in shape"):
        check_levels((outer, outer[..., :1]), weights=(1.0, 1.0))
    with pytest.raises(ValueError, match="must be boolean"):
        check_levels((outer.float(),), weights=(1.0,))
    check_levels((outer, outer), weights=(1.0, 1.0))


def test_levels_keep_their_weights_on_another_device() -> None:
    outer = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    levels = HiddenLevels((outer, outer & False), weights=(1.0, 3.0))
    moved = levels.to("meta")
    assert [level.device.type for level in moved.levels] == ["meta", "meta"]
    assert moved.weights == (1.0, 3.0)
    assert all(map(torch.equal, levels.to("cpu").levels, levels.levels))
