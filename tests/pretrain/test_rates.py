"""`ssl3d lr` on a tiny run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import pytest
from command import Command

from ssl3d import ExperimentSpec

MakeSpec = Callable[..., ExperimentSpec]


def test_a_curve_and_a_suggestion(make_spec: MakeSpec, tmp_path: Path, ssl3d: Command) -> None:
    (tmp_path / "spec.json").write_text(make_spec().to_json())
    options = ("--set", "optimizer.name=sgd", "--from", "1e-5", "--to", "1e5", "--steps", "60")
    done = ssl3d("lr", tmp_path / "spec.json", "--out", tmp_path / "lr", *options)
    assert done.code == 0, done.err
    assert "Suggestion: optimizer.lr " in done.out or "No suggestion" in done.out
    lines = (tmp_path / "lr/lr.csv").read_text().splitlines()
    assert lines[0] == "learning_rate,loss,smoothed"
    rates = [float(line.split(",")[0]) for line in lines[1:]]
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(1e-5)
    assert matplotlib.image.imread(tmp_path / "lr/lr.png").ndim == 3
    assert sorted(path.name for path in (tmp_path / "lr").iterdir()) == ["lr.csv", "lr.png"]


def test_the_folder_of_a_run_is_refused(
    make_spec: MakeSpec, undisturbed: Path, tmp_path: Path, ssl3d: Command
) -> None:
    (tmp_path / "spec.json").write_text(make_spec().to_json())
    done = ssl3d("lr", tmp_path / "spec.json", "--out", undisturbed)
    assert done.code == 2
    assert "holds another run" in done.err
