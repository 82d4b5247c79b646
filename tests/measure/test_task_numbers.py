"""Numbers of downstream tasks against plain loops, and their rules for what is empty."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from ssl3d.measure.bootstrap import intervals
from ssl3d.measure.discrimination import classes_summary, labels_summary
from ssl3d.measure.overlap import overlap_row, overlap_summary
from ssl3d.measure.value_error import values_summary

LEGEND = {"front": 1, "back": 7}
SPACING = (3.0, 1.0, 0.5)


def blobs(seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    labels = torch.zeros(8, 9, 10, dtype=torch.long)
    for value in LEGEND.values():
        z, y, x = (int(torch.randint(0, 5, (), generator=random)) for _ in range(3))
        labels[z : z + 3, y : y + 4, x : x + 5] = value
    return labels


def naive_dice(one: set, other: set) -> float:
    return 2 * len(one & other) / (len(one) + len(other))


def surface(voxels: set) -> list:
    steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    return [
        v
        for v in voxels
        if any(tuple(a + b for a, b in zip(v, s, strict=True)) not in voxels for s in steps)
    ]


def naive_hd95(one: set, other: set) -> float:
    def directed(a, b):
        return (
            torch.tensor(
                [
                    min(
                        math.dist(
                            [s * i for s, i in zip(SPACING, v, strict=True)],
                            [s * i for s, i in zip(SPACING, w, strict=True)],
                        )
                        for w in b
                    )
                    for v in a
                ]
            )
            .quantile(0.95)
            .item()
        )

    a, b = surface(one), surface(other)
    return max(directed(a, b), directed(b, a))


def voxels(labels: torch.Tensor, value: int) -> set:
    return {tuple(v) for v in (labels == value).nonzero().tolist()}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_dice_and_hd95_are_those_of_loops(seed: int) -> None:
    guess, truth = blobs(seed), blobs(seed + 10)
    row = overlap_row(guess, truth=truth, legend=LEGEND, spacing=SPACING)
    for name, value in LEGEND.items():
        one, other = voxels(guess, value), voxels(truth, value)
        assert row[f"dice/{name}"] == pytest.approx(naive_dice(one, other))
        assert row[f"hd95/{name}"] == pytest.approx(naive_hd95(one, other), abs=1e-4)
    assert row["dice"] == pytest.approx((row["dice/front"] + row["dice/back"]) / 2)


def test_what_is_empty() -> None:
    truth = torch.zeros(4, 4, 4, dtype=torch.long)
    truth[0, 0, 0] = 1
    guess = torch.where(truth == 1, 7, 0)
    row = overlap_row(guess, truth=truth, legend={**LEGEND, "none": 3}, spacing=SPACING)
    diagonal = math.dist((0, 0, 0), (12, 4, 2))
    assert (row["dice/front"], row["dice/back"]) == (0.0, 0.0)  # missed, and invented
    assert row["hd95/front"] == row["hd95/back"] == pytest.approx(diagonal)
    assert math.isnan(row["dice/none"])
    assert row["dice"] == 0
    assert math.isnan(row["hd95/none"])
    ignored = torch.full_like(truth, 255)
    row = overlap_row(guess, truth=ignored, legend=LEGEND, spacing=SPACING, ignore=255)
    assert all(math.isnan(value) for value in row.values())
    with pytest.raises(ValueError, match="one grid"):
        overlap_row(guess, truth=truth[1:], legend=LEGEND, spacing=SPACING)


def test_means_leave_out_what_was_not_measured() -> None:
    nan = math.nan
    rows = [
        {"dice/front": 0.5, "dice/back": nan, "hd95/front": 2.0, "hd95/back": nan},
        {"dice/front": 1.0, "dice/back": 0.2, "hd95/front": 0.0, "hd95/back": 9.0},
    ]
    found = overlap_summary(rows, legend=LEGEND)
    assert found["dice/front"] == 0.75
    assert found["dice"] == pytest.approx((0.75 + 0.2) / 2)
    assert (found["cases/front"], found["cases/back"]) == (2, 1)
    assert found["hd95"] == 5


def naive_auroc(p: list[float], t: list[int]) -> float:
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for (a, s), (b, u) in itertools.product(zip(p, t, strict=True), repeat=2)
        if s == 1 and u == 0
    ]
    return sum(pairs) / len(pairs)


def naive_auprc(p: list[float], t: list[int]) -> float:
    """Sum over thresholds of precision times the gain in recall."""
    area = recall = 0.0
    for threshold in sorted(set(p), reverse=True):
        called = [s for a, s in zip(p, t, strict=True) if a >= threshold]
        new = sum(called) / sum(t)
        area, recall = area + (new - recall) * sum(called) / len(called), new
    return area


def label_rows(seed: int, n: int = 40) -> list[dict[str, float]]:
    random = torch.Generator().manual_seed(seed)
    p = (torch.rand(n, 2, generator=random) * 10).round() / 10  # with ties
    t = (torch.rand(n, 2, generator=random) < 0.4).float()
    t[::7, 0] = torch.nan
    return [
        {"probability/a": p[i, 0].item(), "probability/b": p[i, 1].item(), "probability/c": 0.5}
        | {"target/a": t[i, 0].item(), "target/b": t[i, 1].item(), "target/c": 0.0}
        for i in range(n)
    ]


def test_labels_are_ranked_as_loops_do() -> None:
    rows = label_rows(0)
    found = labels_summary(rows, weights={"a": 13.0, "b": 1.0, "c": 1.0})
    for name in ("a", "b"):
        known = [row for row in rows if not math.isnan(row[f"target/{name}"])]
        p = [row[f"probability/{name}"] for row in known]
        t = [int(row[f"target/{name}"]) for row in known]
        assert found[f"auroc/{name}"] == pytest.approx(naive_auroc(p, t), abs=1e-6)
        assert found[f"auprc/{name}"] == pytest.approx(naive_auprc(p, t), abs=1e-6)
        hits = sum(a > 0.5 and s == 1 for a, s in zip(p, t, strict=True))
        passes = sum(a <= 0.5 and s == 0 for a, s in zip(p, t, strict=True))
        want = (hits / sum(t) + passes / (len(t) - sum(t))) / 2
        assert found[f"balanced_accuracy/{name}"] == pytest.approx(want)
        assert found[f"true_positive/{name}"] == hits
    assert math.isnan(found["auroc/c"])  # one side only
    want = (13 * found["auroc/a"] + found["auroc/b"]) / 14
    assert found["auroc"] == pytest.approx(want)


def test_classes() -> None:
    rows = [
        {"probability/x": 0.7, "probability/y": 0.2, "probability/z": 0.1, "target": 0.0},
        {"probability/x": 0.5, "probability/y": 0.4, "probability/z": 0.1, "target": 1.0},
        {"probability/x": 0.2, "probability/y": 0.7, "probability/z": 0.1, "target": 1.0},
        {"probability/x": 0.9, "probability/y": 0.0, "probability/z": 0.1, "target": math.nan},
    ]
    found = classes_summary(rows, classes=("x", "y", "z"))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)
    assert found["confusion/y/x"] == found["confusion/y/y"] == found["confusion/x/x"] == 1
    assert sum(v for n, v in found.items() if n.startswith("confusion/")) == 3
    assert found["auroc/x"] == naive_auroc([0.7, 0.5, 0.2], [1, 0, 0])
    assert math.isnan(found["auroc/z"])


def test_what_was_not_learned_has_no_numbers() -> None:
    """Whatever the order of the cases, and it has no part in the means."""
    for truth in ([1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]):
        rows = [
            {"probability/a": p, "target/a": float(t), "probability/b": math.nan, "target/b": t}
            for p, t in zip([0.9, 0.8, 0.2, 0.1], truth, strict=True)
        ]
        found = labels_summary(rows, weights={"a": 1.0, "b": 1.0})
        assert math.isnan(found["auroc/b"])
        assert math.isnan(found["auprc/b"])
        assert found["true_positive/b"] == found["false_positive/b"] == 0
        assert found["auroc"] == found["auroc/a"]
        nothing = [
            {"probability/x": math.nan, "probability/y": math.nan, "target": float(t)}
            for t in truth
        ]
        found = classes_summary(nothing, classes=("x", "y"))
        for number in ("auroc", "accuracy", "balanced_accuracy"):
            assert math.isnan(found[number])


def test_values() -> None:
    pairs = [(1.0, 2.0), (2.5, 3.0), (4.0, 4.0), (9.0, math.nan)]
    rows = [{"predicted/age": p, "target/age": t} for p, t in pairs]
    found = values_summary(rows, columns=("age",))
    assert found["mae"] == pytest.approx(0.5)
    assert found["r2/age"] == pytest.approx(1 - 1.25 / 2)
    assert math.isnan(values_summary(rows[:1], columns=("age",))["r2"])


def test_an_interval_holds_the_mean_and_does_not_depend_on_the_global_seed() -> None:
    random = torch.Generator().manual_seed(0)
    rows = [{"x": v} for v in torch.randn(50, generator=random).tolist()]

    def summary(rows):
        return {"x": sum(row["x"] for row in rows) / len(rows), "none": math.nan}

    found = intervals(rows, summary=summary, seed=0)
    assert found == intervals(rows, summary=summary, seed=0) or math.isnan(found["none"].low)
    low, high = found["x"]
    values = torch.tensor([row["x"] for row in rows])
    half = 1.96 * values.std().item() / math.sqrt(50)  # the normal approximation
    assert low == pytest.approx(values.mean().item() - half, abs=0.05)
    assert high == pytest.approx(values.mean().item() + half, abs=0.05)
    assert intervals(rows, summary=summary, seed=1)["x"] != found["x"]


def test_cases_of_a_patient_are_drawn_together() -> None:
    rows = [{"x": float(v)} for v in (0, 0, 0, 1, 1, 1)]

    def summary(rows):
        return {"x": sum(row["x"] for row in rows) / len(rows)}

    found = intervals(rows, summary=summary, seed=0, groups=list("aaabbb"))
    assert found["x"] == (0.0, 1.0)
    assert intervals(rows, summary=summary, seed=0)["x"] != (0.0, 1.0)
    with pytest.raises(ValueError, match="2 groups for 6 cases"):
        intervals(rows, summary=summary, seed=0, groups=["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        intervals([], summary=summary, seed=0)
