"""`info_nce` between views, against a loop over views and places."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ssl3d.geometry import Stage, Triple, times
from ssl3d.kinds.batch import Batch, ViewBatch
from ssl3d.kinds.decoder import DecoderOutput
from ssl3d.kinds.level import Level
from ssl3d.kinds.output import StepOutput, ViewOutput
from ssl3d.sparse import CellGrid, HiddenLevels
from ssl3d_plugins.losses import InfoNCE
from ssl3d_plugins.losses.info_nce_views_loss import InfoNCEViewsLoss

CELL: Triple = (2, 2, 4)
GRID: Triple = (2, 4, 2)
CHANNELS = 5
PLACES: tuple[Triple, ...] = ((1, 2, 1), (1, 1, 1))
COUNTS = (1, 2, 6)
STRIDES: tuple[Triple, ...] = ((2, 2, 4), (1, 2, 2), (2, 1, 1))
"""Of the decoder's features, unlike at each level to be sure of the order of sites."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(**options: Any) -> InfoNCEViewsLoss:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = InfoNCE(**{"between": "views", "width": 6} | options)
        loss = config.build(stages=(), features=Stage((1, 1, 1), CHANNELS), levels=3)
    assert isinstance(loss, InfoNCEViewsLoss)
    return loss.double()


def view(number: int, *, samples: int, seed: int, air: float, orphans: float) -> ViewOutput:
    """Random views of a level: flat cells, cells of padding, and views that lie in none."""
    random = generator(100 * seed + number)
    count, size = COUNTS[number], times(GRID, CELL)
    rows = samples * count
    volume = torch.rand(rows, 1, *size, generator=random, dtype=torch.float64)

    def cells(share: float) -> Tensor:
        return torch.rand(rows, *GRID, generator=random) < share

    def voxels(of: Tensor) -> Tensor:
        for axis, edge in enumerate(CELL, start=1):
            of = of.repeat_interleave(edge, axis)
        return of

    volume = torch.where(voxels(cells(air))[:, None], 0.5, volume)
    padding = cells(0.2)
    valid = ~voxels(padding)
    hidden = cells(0.5) & ~padding
    place = PLACES[number - 1] if number else None
    parent = box = None
    if place is not None:
        parent = torch.arange(rows) // (count // COUNTS[number - 1])
        alone = torch.rand(rows, generator=random) < orphans
        parent = torch.where(alone, -1, parent)
        corner = [
            torch.randint(g // p, (rows,), generator=random) * p
            for g, p in zip(GRID, place, strict=True)
        ]
        box = torch.stack([torch.stack(corner, 1), torch.tensor(place).expand(rows, 3)], 1)
        box = torch.where(alone[:, None, None], 0, box)
    batch = ViewBatch(
        volume * valid[:, None],
        valid=valid,
        cells=CellGrid(~hidden & ~padding, cell=CELL),
        hidden=HiddenLevels((hidden,)),
        hidden_positions=(hidden.flatten().nonzero().flatten(),),
        level=Level(count, size, weight=(1.0, 0.5, 2.0)[number], place=place),
        parent=parent,
        parent_box=box,
    )
    stride = STRIDES[number]
    sites = tuple(s // t for s, t in zip(size, stride, strict=True))
    features = torch.randn(rows, CHANNELS, *sites, generator=random, dtype=torch.float64)
    # What stands where there is no data must not matter.
    bad = padding
    for axis, (c, t) in enumerate(zip(CELL, stride, strict=True), start=1):
        bad = bad.repeat_interleave(c // t, axis)
    features = torch.where(bad[:, None], torch.nan, features).requires_grad_()
    decoded = DecoderOutput(features, volume)
    return ViewOutput(batch, (), "patch_normalised", decoded=decoded)


def step_of(
    samples: int = 2, *, seed: int = 0, air: float = 0.2, orphans: float = 0.2, levels: int = 3
) -> StepOutput:
    views = tuple(
        view(n, samples=samples, seed=seed, air=air, orphans=orphans) for n in range(levels)
    )
    batch = Batch(
        tuple(v.batch for v in views), samples=tuple(range(samples)), sources=("a",) * samples
    )
    return StepOutput(batch, views)


def in_box(view: ViewOutput, row: int, corner: tuple[int, ...], extent: Triple) -> Tensor | None:
    """Mean over cells with data of means over their sites, cell by cell; None without data."""
    assert view.decoded is not None
    features, found = view.decoded.features.detach()[row], []
    stride = [s // f for s, f in zip(view.batch.level.size, features.shape[1:], strict=True)]
    there = view.batch.cells.visible[row] | view.batch.hidden.levels[0][row]
    for z in range(corner[0], corner[0] + extent[0]):
        for y in range(corner[1], corner[1] + extent[1]):
            for x in range(corner[2], corner[2] + extent[2]):
                if there[z, y, x]:
                    own = tuple(
                        slice(p * c // t, (p + 1) * c // t)
                        for p, c, t in zip((z, y, x), CELL, stride, strict=True)
                    )
                    found.append(features[(slice(None), *own)].mean((1, 2, 3)))
    return torch.stack(found).mean(0) if found else None


def varies(view: ViewOutput, row: int, corner: tuple[int, ...], extent: Triple) -> bool:
    box = tuple(slice(c * s, (c + e) * s) for c, e, s in zip(corner, extent, CELL, strict=True))
    batch = view.batch
    assert batch.valid is not None
    values = batch.volume[row, 0][box][batch.valid[row][box]]
    return values.numel() > 0 and float(values.var(correction=0)) > 1e-6


def naive(loss: InfoNCEViewsLoss, step: StepOutput) -> tuple[float, dict[int, float]]:
    """Every view is a query; loops over levels, samples, views and places."""

    def unit(level: int, mean: Tensor | None) -> Tensor:
        found = loss.heads[level](torch.zeros(CHANNELS).double() if mean is None else mean)
        return (found / found.norm()).detach()

    levels: dict[int, float] = {}
    for level in range(1, len(step.views)):
        child, parents, extent = step.views[level], step.views[level - 1], PLACES[level - 1]
        corners = [
            (z, y, x)
            for z in range(0, GRID[0], extent[0])
            for y in range(0, GRID[1], extent[1])
            for x in range(0, GRID[2], extent[2])
        ]
        keys = {
            (row, corner): unit(level - 1, in_box(parents, row, corner, extent))
            for row in range(len(parents.batch))
            for corner in corners
            if varies(parents, row, corner, extent)
        }
        by_sample = []
        for sample in range(len(step.batch)):
            losses = []
            for i in range(COUNTS[level]):
                row = sample * COUNTS[level] + i
                assert child.batch.parent is not None
                assert child.batch.parent_box is not None
                parent = int(child.batch.parent[row])
                own = (parent, tuple(child.batch.parent_box[row, 0].tolist()))
                among = [k for k in keys if loss.config.negatives == "batch" or k[0] == parent]
                if parent < 0 or own not in keys or len(among) < 2:
                    continue
                query = unit(level, in_box(child, row, (0, 0, 0), GRID))
                t = loss.config.temperature
                similar = {k: float(query @ keys[k]) / t for k in among}
                losses.append(math.log(sum(map(math.exp, similar.values()))) - similar[own])
            if losses:
                by_sample.append(sum(losses) / len(losses))
        levels[level] = sum(by_sample) / len(by_sample) if by_sample else 0.0
    weights = {n: step.views[n].batch.level.weight for n in levels}
    total = sum(weights[n] * levels[n] for n in levels) / sum(weights.values())
    return total, levels


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    negatives=st.sampled_from(["volume", "batch"]),
    samples=st.integers(1, 3),
    air=st.sampled_from([0.0, 0.3, 0.8]),
    temperature=st.sampled_from([0.1, 0.7]),
)
def test_equals_a_loop_over_views_and_places(seed, negatives, samples, air, temperature) -> None:
    step = step_of(samples, seed=seed, air=air)
    loss = build(negatives=negatives, temperature=temperature)
    expected, levels = naive(loss, step)
    found = loss(step, generator=generator())
    assert found["loss"].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for number, value in levels.items():
        assert found[f"view{number}"].item() == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert 0 <= found[f"top1/view{number}"].item() <= 1
    assert set(found) == {"loss", "view1", "view2", "top1/view1", "top1/view2"}


def test_the_true_place_is_the_positive() -> None:
    """A child that has the features of its place, and of no other, is next to nothing's loss."""
    step = step_of(1, air=0.0, orphans=0.0)
    loss = build()
    loss.heads = torch.nn.ModuleList(torch.nn.Identity() for _ in loss.heads)
    outer, parents, child = step.views
    assert child.batch.parent is not None
    assert child.batch.parent_box is not None
    places = torch.randn(2, CHANNELS, *GRID, generator=generator(5), dtype=torch.float64)
    corners = zip(child.batch.parent.tolist(), child.batch.parent_box.tolist(), strict=True)
    own = torch.stack([places[(row, slice(None), *corner)] for row, (corner, _) in corners])

    def found(features: Tensor) -> dict[str, Tensor]:
        everywhere = features[:, :, None, None, None].expand(-1, -1, *GRID)
        views = (outer, replaced(parents, places), replaced(child, everywhere))
        return loss(StepOutput(step.batch, views), generator=generator())

    assert found(own)["top1/view2"].item() == 1
    assert found(own.roll(1, 1))["view2"].item() > found(own)["view2"].item() + 1


def replaced(view: ViewOutput, features: Tensor) -> ViewOutput:
    """The same views with other features of the decoder."""
    return replace(view, decoded=DecoderOutput(features, features))


def test_gradients_reach_views_and_heads_but_no_parent() -> None:
    step, loss = step_of(), build()
    loss(step, generator=generator())["loss"].backward()
    outer, crops, cells = (view.features.grad for view in step.views)
    assert outer is None, "a parent alone: detached"
    assert crops is not None
    assert cells is not None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in loss.parameters())
    # Level 2 is a child of level 1, and a parent of level 3: of that alone no gradient comes.
    whole = crops.nan_to_num()
    (again, *_), fresh = [step_of(levels=2)], build()
    found = fresh(again, generator=generator())["loss"] * 0.5 / 2.5
    found.backward()
    alone = again.views[1].features.grad
    assert alone is not None
    torch.testing.assert_close(whole, alone.nan_to_num())


def test_views_that_lie_in_none_give_zero() -> None:
    """As views that are given by hand; there is nothing to measure then."""
    step, loss = step_of(orphans=1.0), build()
    found = loss(step, generator=generator())
    found["loss"].backward()
    assert found["loss"].item() == 0
    assert not loss.measurable(step).any()
    alone = step_of(levels=1)
    assert loss(alone, generator=generator()).keys() == {"loss"}
    assert not loss.measurable(alone).any()


def test_what_can_be_measured() -> None:
    """By level and sample: the first level has no parents."""
    step, loss = step_of(3, seed=4), build()
    first, *others = loss.measurable_views(step)
    assert first.tolist() == [False] * 3
    assert torch.equal(loss.measurable(step), torch.stack(others).any(0))
    assert torch.stack(others).any()


def test_samples_are_of_stages_alone() -> None:
    with pytest.raises(ValueError, match="samples is 8, and between views all places count"):
        InfoNCE(between="views", samples=8)
