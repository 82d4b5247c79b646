"""Views joined to a batch, against loops over samples and views."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from run_batches import same
from toy_levels import CELL, LEVELS, PLACES, ToyViews

from ssl3d.data.collate import Sample, collate
from ssl3d.data.region import TensorRegion
from ssl3d.kinds.batch import Batch
from ssl3d.sparse import CellGrid
from ssl3d.streams import Seeds
from ssl3d_plugins.maskers import MiM, Random
from ssl3d_plugins.views import Nested


def region(number: int, *, padded: bool = False) -> TensorRegion:
    """Noise of two channels; half of it no data where it is padded."""
    random = torch.Generator().manual_seed(number)
    valid = torch.ones(16, 16, 16, dtype=torch.bool)
    if padded:
        valid[:, :, 9:] = False
    return TensorRegion(torch.where(valid, torch.randn(2, 16, 16, 16, generator=random), 0), valid)


def samples(padded: tuple[bool, ...] = (False, False, False)) -> list[Sample]:
    masker = Random(ratio=0.5).build()
    return [
        Sample(
            ToyViews()(region(i, padded=one), masker=masker, seeds=Seeds(0, 10 + i, 10)),
            number=10 + i,
            source=f"volume {i}",
            extra={"labels": torch.arange(3) + i, "place": torch.tensor(i)},
        )
        for i, one in enumerate(padded)
    ]


def joined(given: list[Sample]) -> Batch:
    return collate(given, levels=LEVELS, cell=CELL)


def test_rows_go_sample_by_sample() -> None:
    given = samples((True, False, False))
    batch = joined(given)
    assert batch.samples == (10, 11, 12)
    assert batch.sources == ("volume 0", "volume 1", "volume 2")
    assert len(batch) == 3
    for number, (level, views) in enumerate(zip(LEVELS, batch.views, strict=True)):
        rows = [view for sample in given for view in sample.views[number]]
        assert views.level is level
        assert len(views) == len(rows) == 3 * level.count
        assert views.valid is not None
        for i, view in enumerate(rows):
            assert torch.equal(views.volume[i], view.volume)
            assert torch.equal(views.valid[i], view.valid)
            assert torch.equal(views.hidden.levels[0][i], view.hidden[0])
            assert torch.equal(views.cells.visible[i], view.visible)


def test_parents_are_rows_and_boxes_lie_in_their_cells() -> None:
    batch = joined(samples())
    assert batch.views[0].parent is None
    assert batch.views[0].parent_box is None
    for number, (before, views) in enumerate(itertools.pairwise(batch.views), 1):
        assert views.parent is not None
        assert views.parent_box is not None
        assert views.parent_box.shape == (len(views), 2, 3)
        for row in range(len(views)):
            sample, own = divmod(row, views.level.count)
            parent, corner, _, cells = PLACES[number][own]
            assert views.parent[row] == sample * before.level.count + parent
            assert [tuple(part) for part in views.parent_box[row].tolist()] == list(cells)
            # Where its first voxel lies in the parent is what the box says.
            above = PLACES[number - 1][parent]
            first = tuple((c - a) // 4 for c, a in zip(corner, above[1], strict=True))
            assert first == cells[0]


def test_hidden_positions_and_cells_follow_from_what_is_drawn() -> None:
    for views in joined(samples((False, True, False))).views:
        (hidden,), (positions,) = views.hidden.levels, views.hidden_positions
        flat = [i for i, one in enumerate(hidden.flatten().tolist()) if one]
        assert positions.tolist() == flat
        assert positions.dtype == torch.long
        expected = CellGrid(views.cells.visible, cell=CELL)
        for name in ("positions", "cell_coordinates", "rows", "neighbours"):
            assert name in views.cells.__dict__, f"{name} is made where the data is"
            assert same(getattr(views.cells, name), getattr(expected, name))
        assert "counts" in views.cells.__dict__
        assert views.cells.counts == expected.counts
        assert views.cells._tables == {}


@pytest.mark.parametrize("padded", list(itertools.product((False, True), repeat=2)))
def test_valid_is_none_where_all_voxels_are(padded: tuple[bool, bool]) -> None:
    given = samples(padded)
    batch = joined(given)
    for number, views in enumerate(batch.views):
        whole = all(view.valid.all() for sample in given for view in sample.views[number])
        assert (views.valid is None) == whole
    # The corner in front is all data in each of them.
    assert (batch.views[0].valid is None) == (not any(padded))


def test_what_else_a_sample_brings_is_stacked() -> None:
    extra = joined(samples()).extra
    assert extra["labels"].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert extra["place"].tolist() == [0, 1, 2]


def nested() -> Batch:
    config = MiM(global_ratio=0.5)
    views = Nested().build(patch=(16, 16, 16), cell=CELL, masker=config)
    masker = config.build()
    made = [
        Sample(views(region(i, padded=i == 1), masker=masker, seeds=Seeds(0, i, 0)), i, f"{i}")
        for i in range(2)
    ]
    return collate(made, levels=views.levels, cell=CELL)


def test_levels_of_the_same_voxels_share_them() -> None:
    first, second = nested().views
    assert first.volume is second.volume
    assert first.valid is second.valid
    assert first.valid is not None
    assert not torch.equal(first.cells.visible, second.cells.visible)
    assert (second.hidden.levels[0] & ~first.hidden.levels[0]).sum() == 0
    coarse, middle, fine = joined(samples()).views
    assert middle.volume is not fine.volume is not coarse.volume


def test_levels_of_the_same_voxels_may_differ_in_what_is_valid() -> None:
    """Such as one that leaves out a border: what it says of its voxels must not be lost."""
    sample = samples((False,))[0]
    (view,), (level, *_) = sample.views[0], LEVELS
    inner = torch.zeros_like(view.valid)
    inner[4:-4] = True
    other = dataclasses.replace(view, valid=inner)
    given = dataclasses.replace(sample, views=((view,), (other,)))
    first, second = collate([given], levels=(level, level), cell=CELL).views
    assert first.valid is None
    assert second.valid is not None
    assert torch.equal(second.valid[0], inner)


@pytest.mark.parametrize("made", [nested, lambda: joined(samples((False, True)))])
def test_moving_changes_nothing_and_shares_what_was_shared(made, monkeypatch) -> None:
    batch = made()
    pinned: list[int] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.data_ptr())
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    after = batch.pin_memory()
    assert same(after, batch)
    assert len(pinned) == len(set(pinned)), "nothing is pinned twice"
    before = {id(held) for held in _tensors(batch)}
    assert not before & {id(held) for held in _tensors(after)}
    assert len(pinned) == len(before), "everything is pinned"
    shared = [one.volume is batch.views[0].volume for one in batch.views]
    assert [one.volume is after.views[0].volume for one in after.views] == shared
    assert [one.valid is after.views[0].valid for one in after.views] == [
        one.valid is batch.views[0].valid for one in batch.views
    ]
    assert same(batch.to("cpu"), batch)
    meta = batch.to("meta")
    assert {held.device.type for held in _tensors(meta)} == {"meta"}
    assert [one.volume is meta.views[0].volume for one in meta.views] == shared
    assert [one.cells.counts for one in meta.views] == [one.cells.counts for one in batch.views]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_nothing_is_read_on_a_cpu_before_it_has_arrived(device: str, monkeypatch) -> None:
    """A device copies while the host goes on: the other way round it must be waited for."""
    batch = nested()
    if device == "cpu":
        batch = batch.to("meta")
    waited: list[bool] = []

    def to(tensor: torch.Tensor, device: str, *, non_blocking: bool) -> torch.Tensor:
        waited.append(not non_blocking)
        return torch.empty_like(tensor, device=device)

    count = len(_tensors(batch))
    monkeypatch.setattr(torch.Tensor, "to", to)
    batch.to(device)
    assert waited == [device == "cpu"] * count


def _tensors(batch: Batch) -> list[torch.Tensor]:
    """Every tensor once."""
    found: dict[int, torch.Tensor] = {}

    def look(held: object) -> None:
        if isinstance(held, torch.Tensor):
            found[id(held)] = held
        elif isinstance(held, dict):
            for one in held.values():
                look(one)
        elif isinstance(held, list | tuple):
            for one in held:
                look(one)
        elif isinstance(held, CellGrid):
            look(held.__dict__)
        elif hasattr(held, "__slots__"):
            for name in held.__slots__:
                look(getattr(held, name))

    look(batch)
    return list(found.values())
