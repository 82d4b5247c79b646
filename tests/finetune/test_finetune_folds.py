"""All folds of a spec: each a run of its own, and mean and deviation over them."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_runs import CLASSIFICATION

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.folder import RunFolder
from ssl3d.run.signals import SAVED
from ssl3d.tasks.finetune import finish
from ssl3d.tasks.finetune.folds import finetune_folds
from ssl3d.tasks.finetune.measure import measure

MakeSpec = Callable[..., FinetuneSpec]


def test_folds_are_runs_and_their_mean(make_spec: MakeSpec, tmp_path: Path) -> None:
    result = finetune_folds(make_spec(), out=tmp_path / "all")
    alone = ssl3d.finetune(make_spec(data={"fold": 1}), out=tmp_path / "alone")
    assert dict(result.folds[1].numbers) == dict(alone.numbers)
    dice = [fold.numbers["dice"] for fold in result.folds]
    over = json.loads((tmp_path / "all" / "folds.json").read_text())["numbers"]["dice"]
    mean, sd = statistics.fmean(dice), statistics.stdev(dice)
    assert over == {"mean": pytest.approx(mean), "sd": pytest.approx(sd), "folds": 2}
    tested = [
        {sample["files"][0]["path"] for sample in json.loads(text)["held_out"]}
        for fold in result.folds
        if (text := RunFolder(fold.out).data.read_text())
    ]
    assert len(tested[0]) == len(tested[1]) == 4
    assert not tested[0] & tested[1]


def test_finished_folds_are_taken_as_they_are(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    whole = finetune_folds(spec, out=tmp_path / "all")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all" / "fold-0").rglob("*")}
    # As if fold 1 had been stopped after its first checkpoint.
    run = RunFolder(tmp_path / "all" / "fold-1")
    run.checkpoint(4).unlink()
    run.summary.unlink()
    console = Console(record=True, width=200)
    again = finetune_folds(spec, out=tmp_path / "all", resume=True, console=console)
    said = console.export_text()
    assert "Fold 0 has finished" in said
    assert "Going on from step 2 of 4" in said
    assert again.numbers == whole.numbers
    assert again.folds[0].score == whole.folds[0].score
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "all" / "fold-0").rglob("*")}
    assert now == before


def test_a_signal_while_a_fold_is_tested_ends_the_folds(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return measure(*given, **named)

    spec = make_spec()
    with monkeypatch.context() as patched:
        patched.setattr(finish, "measure", interrupted)
        result = finetune_folds(spec, out=tmp_path / "all")
    assert [one.finished for one in result.folds] == [True]
    assert result.exit_code == SAVED
    assert not (tmp_path / "all" / "fold-1").exists()
    resumed = finetune_folds(spec, out=tmp_path / "all", resume=True)
    assert [one.finished for one in resumed.folds] == [True, True]
    assert resumed.folds[0].numbers == result.folds[0].numbers
    assert resumed.exit_code == 0


def test_a_number_that_a_fold_lacks_is_left_out_of_its_mean(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """One case alone has no AUROC; JSON has no NaN."""
    data = {"folds": 3, "columns": {"group": "alone", "fold": "part"}}
    result = finetune_folds(
        make_spec(task=CLASSIFICATION, data=data, trainer={"steps": 1}), out=tmp_path / "all"
    )
    numbers = json.loads((tmp_path / "all" / "folds.json").read_text())["numbers"]
    assert math.isnan(result.folds[2].numbers["auroc"])
    assert numbers["auroc"]["folds"] == 2
    again = finetune_folds(
        make_spec(task=CLASSIFICATION, data=data, trainer={"steps": 1}),
        out=tmp_path / "all",
        resume=True,
    )
    assert math.isnan(again.folds[2].numbers["auroc"])
    assert again.numbers["auroc"] == result.numbers["auroc"]


def test_a_fold_without_cases_is_said_before_anything_is_done(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """The manifest has folds 0 to 2, and five are asked for."""
    data = {"folds": 5, "columns": {"group": "alone", "fold": "part"}}
    with pytest.raises(ValueError, match="no case is in fold 3 of the manifest's 5"):
        finetune_folds(make_spec(data=data), out=tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_fold_that_is_in_the_way_is_said_before_anything_is_done(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    ssl3d.finetune(make_spec(data={"fold": 1}), out=tmp_path / "all" / "fold-1")
    with pytest.raises(ssl3d.RunError, match="fold-1 holds another run"):
        finetune_folds(make_spec(), out=tmp_path / "all")
    assert not (tmp_path / "all" / "fold-0").exists()
    with pytest.raises(ssl3d.RunError, match="holds another run"):
        finetune_folds(make_spec(), out=tmp_path / "all" / "fold-1")
    with pytest.raises(ssl3d.RunError, match="holds no folds to resume"):
        finetune_folds(make_spec(), out=tmp_path / "none", resume=True)
    with pytest.raises(ssl3d.RunError, match="another spec"):
        finetune_folds(make_spec(seed=3), out=tmp_path / "all", resume=True)
