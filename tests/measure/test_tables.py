"""Tables of results: worst case first, no NaN in JSON, mean and spread over folds."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from ssl3d.measure.bootstrap import Interval
from ssl3d.measure.tables import cases_table, folds_table, write_results, write_table

ROWS = {
    "good": {"dice": 0.9, "dice/a": 0.9},
    "empty": {"dice": math.nan, "dice/a": math.nan},
    "bad": {"dice": 0.1, "dice/a": 0.1},
}


def test_the_worst_case_comes_first_and_what_was_not_measured_last() -> None:
    lines = cases_table(ROWS, badness=lambda row: -row["dice"])
    assert [line["case"] for line in lines] == ["bad", "good", "empty"]


def test_the_three_files(tmp_path: Path) -> None:
    write_results(
        tmp_path / "results",
        rows=ROWS,
        summary={"dice": 0.5, "dice/b": math.nan},
        intervals={"dice": Interval(0.1, 0.9)},
        badness=lambda row: -row["dice"],
        facts={"fold": 0},
    )
    with open(tmp_path / "results" / "metrics.csv", newline="") as file:
        metrics = list(csv.DictReader(file))
    assert metrics[0] == {"number": "dice", "value": "0.5", "low": "0.1", "high": "0.9"}
    assert metrics[1] == {"number": "dice/b", "value": "", "low": "", "high": ""}
    with open(tmp_path / "results" / "cases.csv", newline="") as file:
        assert [line["case"] for line in csv.DictReader(file)] == ["bad", "good", "empty"]
    summary = json.loads((tmp_path / "results" / "summary.json").read_text())
    assert summary["numbers"]["dice/b"]["value"] is None
    assert (summary["fold"], summary["cases"]) == (0, 3)
    with pytest.raises(ValueError, match="nothing to write"):
        write_table(tmp_path / "x.csv", [])


def test_folds() -> None:
    table = folds_table([{"dice": 0.5}, {"dice": 0.7}, {"dice": math.nan}])
    assert table["dice"]["mean"] == pytest.approx(0.6)
    assert table["dice"]["sd"] == pytest.approx(math.sqrt(0.02))
    assert table["dice"]["folds"] == 2
