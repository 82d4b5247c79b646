"""Batches in half precision: the same on arrival but for the rounding of their voxels."""

from __future__ import annotations

import copy

import pytest
import torch
from run_batches import same
from test_data_collate import joined, nested, samples

from ssl3d import ExperimentSpec
from ssl3d.data.half_batch import HalfBatch, halved
from ssl3d.kinds.batch import Batch
from ssl3d.masked.model import PretrainModel
from ssl3d.tasks.pretrain.step_time import noise_batch


def rounded(batch: Batch) -> Batch:
    """The batch with float16's values in place of its own."""
    other = copy.copy(batch)
    other.views = tuple(copy.copy(view) for view in batch.views)
    for view in other.views:
        view.volume = view.volume.half().float()
    return other


def sent(batch: Batch) -> HalfBatch:
    half = halved(batch)
    assert isinstance(half, HalfBatch)
    return half


@pytest.mark.parametrize("padded", [(False, False, False), (True, False, False)])
def test_what_arrives_is_the_batch_with_rounded_voxels(padded: tuple[bool, ...]) -> None:
    batch = joined(samples(padded))
    half = sent(batch)
    assert (half.samples, half.sources, len(half)) == (batch.samples, batch.sources, len(batch))
    there = half.to("cpu")
    assert same(there, rounded(batch))
    for view, again in zip(batch.views, there.views, strict=True):
        assert (view.valid is None) is (again.valid is None)
    assert batch.views[0].volume.dtype == torch.float32


def test_only_half_of_the_voxels_and_nothing_of_what_is_valid_crosses() -> None:
    batch = joined(samples((True, False, False)))
    for view, whole in zip(sent(batch).batch.views, batch.views, strict=True):
        assert view.volume.nbytes * 2 == whole.volume.nbytes
        assert view.valid is None


def test_levels_of_the_same_voxels_share_them_on_both_sides() -> None:
    half = sent(nested())
    for batch in (half.batch, half.to("cpu")):
        first, second = batch.views
        assert first.volume is second.volume


def test_pinning_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    half = sent(joined(samples((True, False, True))))
    assert same(half.pin_memory().to("cpu"), half.to("cpu"))


def test_a_batch_with_a_voxel_that_is_too_large_crosses_as_it_is() -> None:
    batch = joined(samples())
    batch.views[0].volume[0, 0, 0, 0, 0] = 1e6
    assert halved(batch) is batch


def model_and_batch() -> tuple[PretrainModel, Batch]:
    spec = ExperimentSpec(
        backbone={"name": "waveformer", "widths": (8, 16), "depths": (1, 1), "heads": (1, 2)},
        data={"volumes": "none", "patch": 16},
    )
    model = spec.build()
    return model, noise_batch(model, spec=spec, samples=2, patch=spec.data.patch)


def test_a_model_in_float16_sees_the_same_bits() -> None:
    model, batch = model_and_batch()
    found = []
    for given in (batch, sent(batch).to("cpu")):
        (view,) = given.views
        with torch.no_grad(), torch.autocast("cpu", torch.float16):
            found.append([x.features for x in model.encode(view.volume, cells=view.cells)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_targets_differ_by_less_than_predictions_are_rounded() -> None:
    model, batch = model_and_batch()
    steps = [
        model.step(given, generator=torch.Generator()).step
        for given in (batch, sent(batch).to("cpu"))
    ]
    exact, half = (step.views[0].patches.target for step in steps)
    bf16 = (exact.bfloat16().float() - exact).square().mean().sqrt()
    assert 0 < (half - exact).square().mean().sqrt() < bf16 / 4
