"""Two processes fine-tune as one with the joined batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import BACKBONE, CLASSIFICATION, SEGMENTATION, rows_of, weights_of

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.folder import RunFolder
from ssl3d.tasks.evaluate.run import evaluate_run

MakeSpec = Callable[..., FinetuneSpec]
TWO = {"devices": 2, "strategy": "ddp", "log_every": 1}


def run_two(spec: FinetuneSpec, folder: Path, *options: str) -> str:
    """Run a spec of two ranks by the command line into `two`; what it printed."""
    (folder / "spec.json").write_text(spec.to_json())
    done = start_two(folder, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_two(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Fine-tune by the spec that is in a folder."""
    command = ["finetune", "spec.json", "--out", "two", *options]
    return subprocess.run(
        [sys.executable, "-m", "ssl3d", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segmentation", "classification"])
def test_two_ranks_equal_one_with_the_joined_batch(
    make_spec: MakeSpec, pretrained: Path, tmp_path: Path, kind: str
) -> None:
    """Sawtooth: the encoder waits first, and no rank waits for its gradients."""
    parts: dict[str, Any] = {
        "encoder": str(pretrained),
        "task": SEGMENTATION if kind == "segmentation" else CLASSIFICATION,
        "recipe": {"name": "sawtooth", "decoder_first": 0.5},
        "select": "best",
        "optimizer": {"name": "sgd", "lr": 0.01},
    }
    run_two(make_spec(**parts, data={"batch_size": 1}, trainer=TWO), tmp_path)
    spec = make_spec(**parts, data={"batch_size": 2}, trainer={"log_every": 1})
    result = ssl3d.finetune(spec, out=tmp_path / "one")
    pairs = zip(rows_of(tmp_path / "two"), rows_of(tmp_path / "one"), strict=True)
    for mine, theirs in pairs:
        assert mine == pytest.approx(theirs, rel=1e-3, nan_ok=True)
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)
    for name in ("model.json", "test/metrics.csv", "test/cases.csv", "summary.json"):
        assert (tmp_path / "two" / name).is_file()
    assert result.finished


@pytest.mark.slow
def test_what_one_rank_finds_wrong_ends_both_with_words(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """Rank 0 alone reads every label map."""
    task = {"name": "segmentation", "labels": {"front": 1}}
    spec = make_spec(task=task, trainer=TWO)
    (tmp_path / "spec.json").write_text(spec.to_json())
    done = start_two(tmp_path)
    assert done.returncode == 2
    assert "holds the labels 2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_two_ranks_take_all_folds(make_spec: MakeSpec, tmp_path: Path) -> None:
    said = run_two(make_spec(trainer={**TWO, "steps": 2}), tmp_path, "--fold", "all")
    assert "2 folds" in said
    assert (tmp_path / "two" / "folds.json").is_file()
    RunFolder(tmp_path / "two" / "fold-1").summary.unlink()
    said = run_two(make_spec(trainer={**TWO, "steps": 2}), tmp_path, "--fold", "all", "--resume")
    assert "Fold 0 has finished" in said


NOTED = """
import json
import os
from ssl3d.cli import main
from ssl3d_plugins.tasks.segmentation_task import SegmentationTask

row = SegmentationTask.row

def noted(self, decided, **options):
    with open("rows.txt", "a") as file:
        file.write(os.environ.get("LOCAL_RANK", "0") + "\\n")
    return row(self, decided, **options)

SegmentationTask.row = noted
main()
"""
"""`ssl3d`, writing down which rank measures a case."""


@pytest.mark.slow
def test_ranks_share_the_test_cases(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A rank that waits for another for half an hour is ended. Numbers are those of one rank."""
    spec = make_spec(
        backbone={**BACKBONE, "norm": "batch"},
        data={"fold": 1, "columns": {"group": "alone", "fold": "part"}, "folds": 3},
        trainer=TWO,
    )
    (tmp_path / "spec.json").write_text(spec.to_json())
    (tmp_path / "noted.py").write_text(NOTED)
    done = subprocess.run(
        [sys.executable, "noted.py", "finetune", "spec.json", "--out", "two"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "rows.txt").read_text().split()) == ["0", "0", "1"]
    found = evaluate_run(tmp_path / "two", out=tmp_path / "one")
    for name in ("metrics.csv", "cases.csv"):
        one, two = (tmp_path / folder / name for folder in ("one", "two/test"))
        assert one.read_text() == two.read_text()
    numbers = json.loads((tmp_path / "two" / "summary.json").read_text())["numbers"]
    assert numbers == pytest.approx(dict(found.numbers), nan_ok=True)
