"""The tasks `classification` and `regression`: losses by hand, missing targets, several crops."""

from __future__ import annotations

import math

import pytest
import torch
from batches import STAGES, Crops
from pydantic import ValidationError
from torch import nn

from ssl3d_plugins.tasks import Classification, Regression
from ssl3d_plugins.tasks.pooled import PooledHead

NAN = math.nan
LABELS = Classification(labels=("a", "b"), column_weights={"a": 13.0})


def batch(targets: list[list[float]]) -> Crops:
    return Crops(torch.zeros(len(targets), 1, 8, 8, 8), targets=torch.tensor(targets))


def test_labels_by_hand() -> None:
    task = LABELS.build(stages=STAGES)
    task.see_targets(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [NAN, 1.0]]))
    assert task.get_buffer("balance").tolist() == pytest.approx([2, 1 / 3])
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    found = task.loss((logits,), batch=batch([[1, 0], [NAN, 1]]))

    def log(x):
        return math.log(1 / (1 + math.exp(-x)))

    terms = [(13, -2 * log(0.5)), (1, -log(1.0)), (1, -log(0.0) / 3)]
    want = sum(w * t for w, t in terms) / 15
    assert found["loss"].item() == pytest.approx(want, rel=1e-5)
    assert found["count/missing"] == 1


def test_classes_by_hand() -> None:
    config = Classification(classes=("x", "y"))
    task = config.build(stages=STAGES)
    task.see_targets(torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    assert task.get_buffer("balance").tolist() == pytest.approx([4 / 6, 2])
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    found = task.loss((logits,), batch=batch([[1], [0], [NAN]]))["loss"]
    log = logits.double().log_softmax(1)
    want = -(2 * log[0, 1] + 4 / 6 * log[1, 0]) / 2  # known cases, not weights
    assert found.item() == pytest.approx(want.item(), rel=1e-5)
    # A batch of one class weighs by it: small batches would know no weights otherwise.
    alone = task.loss((logits[:1],), batch=batch([[1]]))["loss"]
    assert alone.item() == pytest.approx(-2 * log[0, 1].item(), rel=1e-5)
    row = task.row(torch.tensor([0.2, 0.8]), truth=torch.tensor([1.0]), spacing=(1.0, 1.0, 1.0))
    assert row["error"] == pytest.approx(-math.log(0.8))
    assert row["target"] == 1
    none = task.row(torch.tensor([0.2, 0.8]), truth=torch.tensor([NAN]), spacing=(1.0, 1.0, 1.0))
    assert math.isnan(none["error"])


def test_regression_by_hand() -> None:
    task = Regression(values=("age",), loss="l1").build(stages=STAGES)
    task.see_targets(torch.tensor([[10.0], [20.0], [NAN], [30.0]]))
    found = task.loss((torch.tensor([[0.0], [1.0], [9.0]]),), batch=batch([[20], [10], [NAN]]))
    assert found["loss"].item() == pytest.approx((0 + 2) / 2)
    assert task.probabilities(torch.tensor([[1.0]])).item() == pytest.approx(30)


def test_a_column_of_one_number_is_not_scaled() -> None:
    task = Regression(values=("age", "same", "none")).build(stages=STAGES)
    task.see_targets(torch.tensor([[20.0, 3.0, NAN], [40.0, 3.0, NAN], [30.0, 3.0, NAN]]))
    outputs = torch.tensor([[0.0, 0.5, 0.5]])
    assert task.probabilities(outputs).tolist() == [[30.0, 3.5, 0.5]]


@pytest.mark.parametrize(
    ("config", "targets", "message"),
    [
        (Classification(classes=("x", "y")), [[0.0], [0.0]], "one class only"),
        (Classification(classes=("x", "y")), [[0.0], [3.0]], "class 3 is none of x, y"),
        (LABELS, [[0.0, 1.0], [0.0, 1.0]], "one value only"),
        (LABELS, [[0.0, 0.5], [1.0, 1.0]], "0.5.*; a label is 0 or 1"),
        (Regression(values=("age",)), [[1.0], [1.0], [NAN]], "fewer than two different"),
    ],
)
def test_targets_that_teach_nothing(config, targets, message) -> None:
    task = config.build(stages=STAGES)
    with pytest.raises(ValueError, match=message):
        task.see_targets(torch.tensor(targets))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either classes or labels"),
        ({"classes": ("a", "b"), "labels": ("a",)}, "either classes or labels"),
        ({"classes": ("a",)}, "one class only"),
        ({"classes": ("a", "a")}, "stands twice"),
        ({"classes": ("é", "e\u0301")}, "stands twice"),
        ({"classes": ("None", "mild")}, "'None' is what tables write where they have nothing"),
        ({"classes": ("mild", "n/a")}, "'n/a' is what tables write where they have nothing"),
        ({"labels": ("a", "a")}, "a stands twice"),
        ({"labels": ("a",), "column_weights": {"b": 1}}, "b is none of the labels"),
        ({"labels": ("a",), "column_weights": {"a": 0}}, "all are 0"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Classification(**options)


def maps(rows: int, seed: int = 0) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [
        torch.randn(rows, s.channels, *(8 // s.stride[0],) * 3, generator=random) for s in STAGES
    ]


def head(**options) -> PooledHead:
    torch.manual_seed(0)
    given = {"sites": "mean", "crops": "maximum", "dropout": 0.0, **options}
    return PooledHead(STAGES, outputs=3, **given)


def outputs(made: PooledHead, stages, *, valid=None, counts) -> torch.Tensor:
    return made.joined(made(stages, valid=valid), counts=counts)


def test_pooling_by_hand() -> None:
    """Means over valid sites; the crop with the larger output counts."""
    made, stages = head(), maps(4)
    valid = torch.ones(4, 8, 8, 8, dtype=torch.bool)
    valid[..., 4:] = False
    pooled = torch.cat([s[..., : s.shape[-1] // 2].mean((2, 3, 4)) for s in stages], 1)
    scores = made.linear(nn.functional.layer_norm(pooled, pooled.shape[1:]))
    want = torch.stack([torch.maximum(scores[0], scores[1]), torch.maximum(scores[2], scores[3])])
    torch.testing.assert_close(outputs(made, stages, valid=valid, counts=(2, 2)), want)


def test_attention_is_a_weighted_mean_and_one_crop_is_itself() -> None:
    made, stages = head(crops="attention"), maps(4)
    alone = outputs(made, stages, counts=(1,) * 4)
    twice = [s.repeat_interleave(2, 0) for s in stages]
    torch.testing.assert_close(outputs(made, twice, counts=(2,) * 4), alone)
    both = outputs(made, stages, counts=(2, 2))
    low, high = torch.minimum(alone[0], alone[1]), torch.maximum(alone[0], alone[1])
    assert ((both[0] >= low - 1e-5) & (both[0] <= high + 1e-5)).all()


@pytest.mark.parametrize("crops", ["maximum", "attention"])
def test_cases_may_have_other_numbers_of_crops(crops: str) -> None:
    made, stages = head(crops=crops), maps(4)
    both = outputs(made, stages, counts=(3, 1))
    first = outputs(made, [s[:3] for s in stages], counts=(3,))
    second = outputs(made, [s[3:] for s in stages], counts=(1,))
    torch.testing.assert_close(both, torch.cat([first, second]))


@pytest.mark.parametrize("crops", ["maximum", "attention"])
def test_a_case_of_padding_alone_is_finite(crops: str) -> None:
    valid = torch.zeros(4, 8, 8, 8, dtype=torch.bool)
    valid[:1] = True
    out = outputs(head(crops=crops, sites="both"), maps(4), valid=valid, counts=(2, 2))
    assert out.isfinite().all()
