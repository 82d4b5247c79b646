"""Pictures of a fine-tuning run: which cases, which places, and what the run leaves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ssl3d.measure.discrimination import classes_summary
from ssl3d.report.confusion import draw_confusion
from ssl3d.report.overlay import draw_overlay
from ssl3d.report.predicted_values import draw_predicted
from ssl3d.report.roc import draw_roc
from ssl3d.report.segmented_case import SegmentedCase
from ssl3d.report.tuning_curves import draw_tuning_curves
from ssl3d.tasks.finetune.measure import Measured
from ssl3d.tasks.finetune.pictures import confusion_of, extremes, roc_curves, values_of


def test_a_run_leaves_its_pictures(runs: Path) -> None:
    voxels = sorted(path.name for path in (runs / "voxels/pictures").iterdir())
    assert [name.partition("-")[0] for name in voxels] == ["best", "losses.png", "median", "worst"]
    cases = sorted(path.name for path in (runs / "cases/pictures").iterdir())
    assert cases == ["confusion.png", "losses.png", "roc.png"]
    ages = sorted(path.name for path in (runs / "ages/pictures").iterdir())
    assert ages == ["losses.png", "predicted.png"]
    for kind, names in (("voxels", voxels), ("cases", cases), ("ages", ages)):
        for name in names:
            assert imread(runs / kind / "pictures" / name).std() > 0.01
    events = EventAccumulator(str(runs / "cases/tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["images"]) == ["confusion", "losses", "roc"]


def test_best_median_and_worst() -> None:
    rows = {name: {"bad": bad} for name, bad in zip("abcde", (3, 1, math.nan, 9, 2), strict=True)}
    badness = lambda row: row["bad"]  # noqa: E731
    assert extremes(rows, badness=badness) == {"best": "b", "worst": "d", "median": "a"}
    assert extremes({"a": {"bad": 1}}, badness=badness) == {"best": "a"}
    assert extremes({"a": {"bad": math.nan}}, badness=badness) == {}


def segmented(**changes: object) -> SegmentedCase:
    """Truth in slices 2 to 4 of z, most in the third."""
    truth = np.zeros((8, 10, 12), np.int64)
    truth[2:5, 3:5, 3:5] = 1
    truth[3, 2:7, 2:9] = 2
    given = {
        "image": np.random.default_rng(0).normal(size=truth.shape).astype(np.float32),
        "valid": np.ones(truth.shape, bool),
        "truth": truth,
        "guess": np.roll(truth, 2, axis=2),
        "names": ("front", "back"),
        "affine": np.diag([1.0, 1.0, 2.5, 1.0]),
    }
    return SegmentedCase(**{**given, **changes})


def test_planes_lie_where_most_is_labelled(tmp_path: Path) -> None:
    case = segmented()
    assert case.fullest(0) == 3
    assert case.fullest(1) in (3, 4)
    nothing = np.zeros_like(case.truth)
    assert segmented(truth=nothing).fullest(0) == 3  # then of what is predicted
    assert segmented(truth=nothing, guess=nothing).fullest(0) == 4
    assert case.aspect(0) == 1
    assert case.aspect(1) == 2.5
    path = draw_overlay(case, title="t", numbers="n", path=tmp_path / "a.png")
    plain = imread(path)
    labelled = draw_overlay(
        segmented(truth=nothing, guess=nothing), title="t", numbers="n", path=tmp_path / "b.png"
    )
    colour = lambda image: np.ptp(image[..., :3], axis=2) > 0.2  # noqa: E731
    # Beside the legend there is colour where something is labelled, and nowhere else.
    assert colour(plain).sum() > 3 * colour(imread(labelled)).sum()


def test_ignored_voxels_and_many_labels_are_drawn(tmp_path: Path) -> None:
    case = segmented()
    truth = case.truth.copy()
    truth[:, :2] = -1
    valid = case.valid.copy()
    valid[..., :3] = False
    names = tuple(f"label {number}" for number in range(1, 31))
    many = segmented(truth=truth, valid=valid, names=names)
    assert draw_overlay(many, title="t", numbers="", path=tmp_path / "c/d.png").is_file()


@pytest.mark.parametrize("number", [None, "choosing/dice"])
def test_curves(number: str | None, tmp_path: Path) -> None:
    rows = [{"step": 0.0, "choosing/dice": 0.1}, {"step": 1.0, "train/loss": 2.0}]
    rows += [{"step": 2.0, "train/loss": 1.0, "choosing/dice": 0.6}]
    path = draw_tuning_curves(rows, number=number, chosen=2, path=tmp_path / "l.png", dice=True)
    height, width, _ = imread(path).shape
    assert width > (2 if number else 1) * height


def test_confusion_and_roc_are_of_the_rows(tmp_path: Path) -> None:
    rows = {
        str(case): {"target": target, "probability/a": p, "probability/b": 1 - p}
        for case, (target, p) in enumerate([(0.0, 0.9), (0.0, 0.3), (1.0, 0.2), (math.nan, 0.5)])
    }
    summary = classes_summary(list(rows.values()), classes=("a", "b"))
    counts = confusion_of(summary, names=("a", "b"))
    assert counts is not None
    assert counts.tolist() == [[1, 1], [0, 1]]
    assert confusion_of({"auroc/a": 1.0}, names=("a",)) is None
    curves = roc_curves(rows, names=("a", "b"))
    assert curves["a"][1].tolist() == [True, True, False]
    assert curves["b"][0].tolist() == pytest.approx([0.1, 0.7, 0.8])
    labels = {
        "1": {"probability/x": 0.4, "target/x": 1.0},
        "2": {"probability/x": 0.1, "target/x": 1.0},
    }
    one_sided = roc_curves(labels, names=("x",))
    assert one_sided["x"][1].tolist() == [True, True]
    assert roc_curves({"1": {"dice": 1.0}}, names=("x",)) == {}
    draw_roc({**curves, **one_sided}, title="t", path=tmp_path / "roc.png")
    draw_confusion(counts, names=("a", "b"), title="t", path=tmp_path / "confusion.png")
    assert {path.name for path in tmp_path.iterdir()} == {"roc.png", "confusion.png"}


def test_predicted_numbers_are_of_the_rows(tmp_path: Path) -> None:
    rows = {
        str(case): {"predicted/age": guess, "target/age": truth, "predicted/bmi": 20.0 + case}
        | {"target/bmi": math.nan}
        for case, (guess, truth) in enumerate([(41.0, 40.0), (50.0, math.nan), (58.0, 60.0)])
    }
    found = Measured(rows, list("abc"), {"mae/age": 1.5, "r2/age": 0.98})
    values = values_of(found, names=("age", "bmi"))
    assert values["age"].predicted.tolist() == [41, 58]
    assert values["age"].true.tolist() == [40, 60]
    assert values["age"].numbers == "MAE 1.5, R² 0.98"
    assert not len(values["bmi"].true)
    assert values_of(Measured({"1": {"dice": 1.0}}, ["a"], {}), names=("age",)) == {}
    path = draw_predicted(values, title="t", path=tmp_path / "new/predicted.png")
    assert imread(path).std() > 0.01
