"""Crops and what is hidden of them follow from the seed and their numbers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.data import Batches, RunVolumes
from ssl3d.kinds.batch import Batch

MakeSpec = Callable[..., ExperimentSpec]
PARTS: dict[str, dict[str, Any]] = {
    "single": {"masker": {"name": "random", "ratio": (0.3, 0.7)}},
    "mim": {"masker": "mim"},
    "nested": {"masker": "mim", "views": "nested"},
    "three levels": {"views": "mask_in_mask", "masker": {"name": "random", "ratio": (0.3, 0.7)}},
}
parts = pytest.mark.parametrize("name", PARTS)


def batches_of(spec: ExperimentSpec) -> Batches:
    volumes = RunVolumes(spec.data)
    volumes.find()
    views = spec.views.build(patch=spec.data.patch, cell=spec.cell_size, masker=spec.masker)
    return Batches(volumes, views=views, masker=spec.masker.build(), seed=spec.seed)


def rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    """Of each sample: its number, source and the tensors of its views."""
    for i, number in enumerate(batch.samples):
        tensors: list[Tensor] = []
        for view in batch.views:
            own = slice(i * view.level.count, (i + 1) * view.level.count)
            valid = torch.ones_like(view.volume[:, 0]).bool() if view.valid is None else view.valid
            tensors += [view.volume[own], valid[own], view.cells.visible[own]]
            tensors += [level[own] for level in view.hidden.levels]
        yield number, batch.sources[i], *tensors


def assert_same(mine: list[tuple[Any, ...]], theirs: list[tuple[Any, ...]]) -> None:
    assert len(mine) == len(theirs) > 0
    for (*names, tensors), (*others, others_tensors) in zip(
        ((a, b, c) for a, b, *c in mine), ((a, b, c) for a, b, *c in theirs), strict=True
    ):
        assert names == others
        assert len(tensors) == len(others_tensors)
        assert all(torch.equal(a, b) for a, b in zip(tensors, others_tensors, strict=True))


@parts
@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("start", [0, 8])
def test_ranks_share_the_batch_of_one(
    make_spec: MakeSpec, name: str, world: int, start: int
) -> None:
    """Row by row, from the first sample and where a run goes on."""
    one = batches_of(make_spec(data={"batch_size": 4}, **PARTS[name]))
    each = batches_of(make_spec(data={"batch_size": 4 // world}, **PARTS[name]))
    whole = [row for batch in islice(one.training(start=start), 3) for row in rows(batch)]
    loaders = [iter(each.training(start=start, rank=r, world=world)) for r in range(world)]
    shared = [row for _ in range(3) for loader in loaders for row in rows(next(loader))]
    assert_same(shared, whole)


@parts
def test_a_resumed_run_is_given_what_it_would_have_been(make_spec: MakeSpec, name: str) -> None:
    """By another number of workers."""
    whole = batches_of(make_spec(**PARTS[name])).training()
    later = batches_of(make_spec(data={"workers": 2}, **PARTS[name])).training(start=4)
    expected = [row for batch in islice(whole, 2, 5) for row in rows(batch)]
    assert_same([row for batch in islice(later, 3) for row in rows(batch)], expected)


@parts
def test_held_out_crops_have_masks_of_their_numbers(make_spec: MakeSpec, name: str) -> None:
    """In every run: whatever the seed, the batch size and the number of ranks; each crop once."""
    data = {"holdout": 0.6, "holdout_crops": 2}
    first = batches_of(make_spec(data=data, **PARTS[name]))
    whole = [row for batch in first.held_out() for row in rows(batch)]
    assert [row[0] for row in whole] == list(range(6))
    other = batches_of(make_spec(seed=5, data={**data, "batch_size": 3}, **PARTS[name]))
    assert_same([row for batch in other.held_out() for row in rows(batch)], whole)
    ranks = [
        row for r in range(4) for batch in other.held_out(rank=r, world=4) for row in rows(batch)
    ]
    assert_same(sorted(ranks, key=lambda row: row[0]), whole)
    masks = {row[4].numpy().tobytes() for row in whole}
    assert len(masks) > 1, "crops have masks of their own"
