"""The grid of cells against loops over every cell and voxel."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from volumes import Case, cases, triples

from ssl3d.geometry import Triple, times
from ssl3d.sparse import CellGrid, grid_of, join_cells, split_cells
from ssl3d.sparse.hidden import cells_to_voxels
from ssl3d.sparse.tables import Reach, box_rows


def box(cell: tuple[int, ...], edge: Triple) -> tuple[slice, ...]:
    """Where a cell's voxels stand in a dense volume."""
    return tuple(slice(c * e, (c + 1) * e) for c, e in zip(cell, edge, strict=True))


@given(grid=triples(1, 3), cell=triples(1, 4), batch=st.integers(1, 2), channels=st.integers(1, 3))
def test_split_cells_cuts_boxes_in_raster_order_and_join_cells_undoes_it(
    grid: Triple, cell: Triple, batch: int, channels: int
) -> None:
    volume = torch.randn(batch, channels, *times(grid, cell))
    boxes = split_cells(volume, cell=cell)
    rows = iter(boxes)
    for b in range(batch):
        for at in itertools.product(*map(range, grid)):
            assert torch.equal(next(rows), volume[b][(slice(None), *box(at, cell))].movedim(0, -1))
    assert torch.equal(join_cells(boxes, grid=grid), volume)


def test_joined_cells_are_channels_last() -> None:
    joined = join_cells(torch.randn(2 * 8, 4, 4, 2, 3), grid=(2, 2, 2))
    assert joined.shape == (2, 3, 8, 8, 4)
    assert joined.is_contiguous(memory_format=torch.channels_last_3d)


@given(cases())
def test_gather_takes_the_visible_cells_and_scatter_puts_them_back(case: Case) -> None:
    cells, fill = case.cells, torch.arange(case.volume.shape[1]).double()
    features = cells.gather(case.volume)
    assert features.is_contiguous()
    assert features.shape == (cells.n, *cells.cell, case.volume.shape[1])
    visible = cells_to_voxels(cells.visible, cell=cells.cell)[:, None]
    expected = torch.where(visible, case.volume, fill.view(1, -1, 1, 1, 1))
    assert torch.equal(cells.scatter(features, fill=fill), expected)
    assert torch.equal(cells.scatter(features), case.volume * visible)
    assert torch.equal(cells.gather(cells.scatter(features)), features)


@given(cases())
def test_hidden_voxels_get_no_gradient(case: Case) -> None:
    volume = case.volume.clone().requires_grad_()
    (case.cells.gather(volume) * 3).sum().backward()
    visible = cells_to_voxels(case.cells.visible, cell=case.cells.cell)[:, None]
    assert torch.equal(volume.grad, 3.0 * visible.expand_as(volume))


@given(cases())
def test_neighbours_counts_and_rows_equal_a_loop_over_cells(case: Case) -> None:
    cells = case.cells
    seen = {}
    for at in itertools.product(range(cells.batch), *map(range, cells.grid)):
        if cells.visible[at]:
            seen[at] = len(seen)
    assert cells.n == len(seen)
    assert cells.counts == tuple(sum(at[0] == b for at in seen) for b in range(cells.batch))
    assert [tuple(row) for row in cells.cell_coordinates.tolist()] == list(seen)
    for at, row in seen.items():
        assert cells.rows[at] == row
        around = [
            seen.get((at[0], at[1] + z, at[2] + y, at[3] + x), cells.n)
            for z, y, x in itertools.product((-1, 0, 1), repeat=3)
        ]
        assert cells.neighbours[row].tolist() == around
    assert int((cells.rows == cells.n).sum()) == cells.visible.numel() - cells.n


@given(case=cases(edges=(2, 4)), stride=st.sampled_from([(1, 1, 1), (2, 1, 2), (2, 2, 2)]))
def test_coordinates_name_every_visible_site_in_row_order(case: Case, stride: Triple) -> None:
    cells = CellGrid(case.cells.visible, cell=times(case.cells.cell, stride))
    coordinates = cells.coordinates(stride)
    assert coordinates.dtype == torch.int32
    assert coordinates.is_contiguous()
    # A volume that holds its own coordinates, gathered, gives the same rows.
    size = times(cells.grid, case.cells.cell)
    axes = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    one = torch.stack(axes)
    samples = torch.arange(cells.batch).view(-1, 1, 1, 1, 1).expand(-1, 1, *size)
    own = torch.cat([samples, one.expand(cells.batch, -1, -1, -1, -1)], 1)
    assert torch.equal(cells.gather(own, stride=stride).reshape(-1, 4).int(), coordinates)
    assert cells.coordinates(stride) is coordinates, "made anew"


def test_tables_belong_to_one_grid() -> None:
    visible = torch.ones(1, 2, 2, 2, dtype=torch.bool)
    first, second = CellGrid(visible, cell=(2, 2, 2)), CellGrid(visible, cell=(4, 4, 4))
    assert first.table(edge_and_times) is first.table(edge_and_times)
    assert first.table(edge_and_times) == (2, 1)
    assert second.table(edge_and_times) == (4, 1)


def test_a_table_is_known_by_its_function_and_what_that_is_given() -> None:
    cells = CellGrid(torch.ones(1, 2, 2, 2, dtype=torch.bool), cell=(2, 2, 2))
    assert cells.table(edge_and_times, times=3) == (2, 3)
    assert cells.table(edge_and_times, times=4) == (2, 4)
    assert cells.table(edge_and_times, times=3) is cells.table(edge_and_times, times=3)
    assert cells.table(another) == "another"


DRAWN = ("visible", "positions", "rows", "neighbours", "cell_coordinates")


def ragged() -> CellGrid:
    visible = torch.rand((3, 2, 3, 2), generator=torch.Generator().manual_seed(0)) < 0.5
    return CellGrid(visible, cell=(2, 4, 2))


def same(one: CellGrid, other: CellGrid) -> None:
    assert (one.cell, one.counts, one.n) == (other.cell, other.counts, other.n)
    for name in DRAWN:
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert torch.equal(one.coordinates((1, 2, 1)), other.coordinates((1, 2, 1)))


def test_a_grid_travels_with_what_depends_on_the_draw_and_without_tables() -> None:
    cells = ragged().prepared()
    before = len(pickle.dumps(cells))
    cells.coordinates((1, 1, 1))
    assert len(pickle.dumps(cells)) == before, "a table travels"
    there = pickle.loads(pickle.dumps(cells))
    assert set(vars(there)) == {*DRAWN, "cell", "counts", "n", "_tables"}
    same(there, ragged())


class Grids(Dataset[CellGrid]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> CellGrid:
        return ragged().prepared()


def test_a_worker_hands_grids_over() -> None:
    grids = list(DataLoader(Grids(), batch_size=None, num_workers=1))
    assert len(grids) == 2
    for cells in grids:
        assert "neighbours" in vars(cells), "made anew"
        same(cells, ragged())


def test_it_is_pinned_tensor_by_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: pinned.append(self) or self.clone())
    cells = ragged()
    same(cells.pin_memory(), cells)
    assert len(pinned) == len(DRAWN)


def test_on_another_device_counts_are_numbers_of_the_host() -> None:
    cells = ragged()
    cells.coordinates((1, 1, 1))
    moved = cells.to("meta")
    assert (moved.counts, moved.n, moved.grid, moved.cell) == (
        cells.counts,
        cells.n,
        cells.grid,
        cells.cell,
    )
    for name in DRAWN:
        there, here = getattr(moved, name), getattr(cells, name)
        assert there.is_meta
        assert (there.shape, there.dtype) == (here.shape, here.dtype)
    assert moved.coordinates((1, 1, 1)).is_meta, "a table of the other device"
    assert cells.to("cpu") is cells


def test_visible_cells_on_a_device_are_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, where nobody prepares a grid."""
    fetched: list[Tensor] = []
    monkeypatch.setattr(Tensor, "cpu", lambda self: fetched.append(self) or self)
    ragged().prepared()
    assert len(fetched) == 1


def edge_and_times(cells: CellGrid, *, times: int = 1) -> tuple[int, int]:
    return (cells.cell[0], times)


def another(cells: CellGrid) -> str:  # noqa: ARG001
    return "another"


@pytest.mark.parametrize("visible", [torch.ones(1, 2, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool)])
def test_what_is_no_grid_is_refused(visible: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"boolean tensor \(B, Gd, Gh, Gw\)"):
        CellGrid(visible, cell=(2, 2, 2))


def test_volumes_off_the_grid_are_refused() -> None:
    cells = CellGrid(torch.ones(2, 1, 2, 2, dtype=torch.bool), cell=(2, 4, 4))
    for shape in [(2, 1, 2, 8, 4), (1, 1, 2, 8, 8), (2, 2, 8, 8)]:
        with pytest.raises(ValueError, match=r"needs \(2, C, 2, 8, 8\)"):
            cells.gather(torch.zeros(shape))
    with pytest.raises(ValueError, match="multiples of the cell 2 × 4 × 4: crop or pad it"):
        grid_of(torch.zeros(1, 1, 2, 8, 6), cell=(2, 4, 4))
    assert grid_of(torch.zeros(1, 1, 4, 8, 4), cell=(2, 4, 4)) == (2, 2, 1)


def test_the_gradient_of_gathered_cells_goes_to_their_places() -> None:
    """Against an index into cells that were all copied first."""
    visible = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0]).bool().view(1, 2, 2, 2)
    grid = CellGrid(visible, cell=(2, 1, 3))
    volume = torch.randn(1, 2, 4, 2, 6, generator=torch.Generator().manual_seed(0)).double()
    volume = volume.to(memory_format=torch.channels_last_3d).requires_grad_()
    copied = split_cells(volume, cell=(2, 1, 3))[visible.flatten()]
    picked = grid.gather(volume)
    assert torch.equal(picked, copied)
    assert picked.is_contiguous()
    gradients = [torch.autograd.grad(one.square().sum(), volume)[0] for one in (picked, copied)]
    assert torch.equal(*gradients)


def test_a_part_of_a_table_has_memory_of_its_own() -> None:
    """Of one cell, a part along the first axis is contiguous as it is."""
    cells = CellGrid(torch.ones(1, 1, 1, 1, dtype=torch.bool), cell=(2, 2, 2))
    whole = cells.table(box_rows, edge=(2, 2, 2), reach=Reach((1, 1, 1), (1, 1, 1)))
    before = whole.clone()
    box_rows(cells, edge=(2, 2, 2), reach=Reach((1, 1, 1), (0, 1, 1))).fill_(-1)
    assert torch.equal(whole, before)
