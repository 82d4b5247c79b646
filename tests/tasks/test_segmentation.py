"""The task `segmentation`: its loss against loops, absent labels, ignored voxels, deep outputs."""

from __future__ import annotations

import math

import pytest
import torch
from batches import STAGES, Crops
from pydantic import ValidationError

from ssl3d_plugins.tasks import Segmentation

CONFIG = Segmentation(labels={"a": 1, "b": 9}, ignore=255)


def crops(seed: int = 0) -> tuple[torch.Tensor, Crops]:
    random = torch.Generator().manual_seed(seed)
    outputs = torch.randn(2, 3, 4, 4, 4, generator=random, requires_grad=True)
    labels = torch.randint(-1, 3, (2, 4, 4, 4), generator=random).short()
    labels[1][labels[1] == 2] = 0  # the second crop lacks b
    valid = torch.ones(2, 4, 4, 4, dtype=torch.bool)
    valid[0, :, :, 3] = False
    return outputs, Crops(torch.zeros(2, 1, 4, 4, 4), valid=valid, labels=labels)


def naive(outputs: torch.Tensor, batch: Crops) -> tuple[float, float]:
    """Dice over labels that a crop has, and cross-entropy over voxels that count."""
    overlaps, entropies = [], []
    for scores, labels, valid in zip(outputs, batch.labels, batch.valid, strict=True):
        p = scores.detach().double().softmax(0)
        inside = [v for v in valid.nonzero().tolist() if labels[tuple(v)] >= 0]
        for voxel in inside:
            place = int(labels[tuple(voxel)])
            entropies.append(-math.log(float(p[(place, *voxel)])))
        for place in (1, 2):
            guess = [float(p[(place, *v)]) for v in inside]
            truth = [float(labels[tuple(v)] == place) for v in inside]
            if not sum(truth):
                continue
            both = sum(g * t for g, t in zip(guess, truth, strict=True))
            overlaps.append(1 - (2 * both + 1e-5) / (sum(guess) + sum(truth) + 1e-5))
    return sum(overlaps) / len(overlaps), sum(entropies) / len(entropies)


def test_the_loss_is_that_of_loops() -> None:
    task = CONFIG.build(stages=STAGES)
    outputs, batch = crops()
    found = task.loss((outputs,), batch=batch)
    dice, entropy = naive(outputs, batch)
    assert found["dice"].item() == pytest.approx(dice, abs=1e-5)
    assert found["cross_entropy"].item() == pytest.approx(entropy, abs=1e-5)
    assert found["loss"].item() == pytest.approx(dice + entropy, abs=1e-5)
    assert found["count/absent"] == 1


def test_coarser_outputs_weigh_half_of_the_finer() -> None:
    task = CONFIG.build(stages=STAGES)
    outputs, batch = crops()
    coarse = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(3))
    fewer = Crops(
        batch.volume,
        valid=batch.valid[:, 1::2, 1::2, 1::2],
        labels=batch.labels[:, 1::2, 1::2, 1::2],
    )
    one = task.loss((outputs,), batch=batch)["loss"]
    other = task.loss((coarse,), batch=fewer)["loss"]
    both = task.loss((outputs, coarse), batch=batch)["loss"]
    assert both.item() == pytest.approx(((one + other / 2) / 1.5).item(), rel=1e-5)


def test_a_decision_has_classes() -> None:
    task = CONFIG.build(stages=STAGES)
    p = torch.zeros(3, 1, 1, 3)
    p[[0, 1, 2], 0, 0, [0, 1, 2]] = 1
    assert task.decided(p).flatten().tolist() == [0, 1, 2]
    row = task.row(task.decided(p), truth=torch.tensor([[[0, 1, 0]]]), spacing=(1.0, 1.0, 1.0))
    assert (row["dice/a"], row["dice/b"], row["dice"]) == (1, 0, 0.5)
    assert task.badness(row) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"a": 1, "b": 1}}, "labels a, b have one value"),
        ({"labels": {"background": 1}}, "leave it out"),
        ({"labels": {"a": 1}, "ignore": 1}, "ignore is 1"),
        ({"labels": {"a": 0}}, "greater than or equal to 1"),
        ({"labels": {"a": True}}, "valid integer"),
        ({"labels": {}}, "at least 1 item"),
        ({"labels": {"a": 1}, "dice": 0, "cross_entropy": 0}, "nothing would be learned"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Segmentation(**options)
