"""A fine-tuning run that was stopped goes on to exactly where it would have come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_runs import CLASSIFICATION, REGRESSION, checkpoint_of, different, rows_of, weights_of

import ssl3d
from ssl3d import FinetuneSpec
from ssl3d.folder import RunFolder

MakeSpec = Callable[..., FinetuneSpec]

SCRIPT = """
import sys, torch, ssl3d
torch.set_num_threads(1)
spec = ssl3d.FinetuneSpec.load(sys.argv[1])
result = ssl3d.finetune(spec, out=sys.argv[2], resume=sys.argv[3] == "resume")
print("left after", result.step, result.finished)
"""


def start(spec: FinetuneSpec, folder: Path, *, out: str) -> subprocess.Popen[str]:
    """Another process that runs a spec."""
    (folder / "run.py").write_text(SCRIPT)
    (folder / "spec.json").write_text(spec.to_json())
    return subprocess.Popen(
        [sys.executable, "run.py", "spec.json", out, "anew"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


CASES: dict[str, dict[str, Any]] = {
    "segmentation": {"data": {"crops": 2}},
    "workers": {"data": {"workers": 2}},
    "sawtooth": {"recipe": {"name": "sawtooth", "decoder_first": 0.5}},
    "best": {"select": "best", "optimizer": {"ema": 0.7}},
    "classification": {"task": {**CLASSIFICATION, "dropout": 0.5}, "data": {"crops": 2}},
    "regression": {"task": REGRESSION},
}


@pytest.mark.parametrize("name", CASES)
def test_resumes_bitwise(make_spec: MakeSpec, pretrained: Path, tmp_path: Path, name: str) -> None:
    parts = {"encoder": str(pretrained), **CASES[name]}
    spec = make_spec(**parts, trainer={"log_every": 1})
    whole = ssl3d.finetune(spec, out=tmp_path / "whole")
    cut = spec.replace(trainer=spec.trainer.model_copy(update={"max_hours": 1e-9}))
    stopped = ssl3d.finetune(cut, out=tmp_path / "parts")
    assert (stopped.step, stopped.finished, stopped.ended) == (1, False, "hours")
    assert not (tmp_path / "parts" / "test").exists()
    assert ssl3d.load_model(tmp_path / "parts").description["trained"]["finished"] is False
    resumed = ssl3d.finetune(spec, out=tmp_path / "parts", resume=True)
    assert resumed.finished
    assert ssl3d.load_model(tmp_path / "parts").description["trained"]["finished"] is True
    assert not different(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))
    ends = [checkpoint_of(tmp_path / one, step=4)["state_dict"] for one in ("whole", "parts")]
    assert not different(*ends)
    assert rows_of(tmp_path / "whole") == rows_of(tmp_path / "parts")
    assert resumed.numbers == whole.numbers
    assert resumed.step_of_model == whole.step_of_model


@pytest.mark.slow
def test_a_signal_saves_and_the_command_goes_on(make_spec: MakeSpec, tmp_path: Path) -> None:
    """SIGTERM to all processes; `ssl3d resume` ends where the uninterrupted run does."""
    spec = make_spec(
        data={"workers": 1},
        trainer={"steps": 60, "checkpoint_every": 60, "validate_every": 60, "log_every": 1},
    )
    run = start(spec, tmp_path, out="out")
    metrics = RunFolder(tmp_path / "out").metrics
    try:
        while not metrics.exists():
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGTERM)
        said, errors = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    assert "ssl3d resume" in said
    assert "left after" in said
    assert said.split()[-1] == "False"
    done = subprocess.run(
        [sys.executable, "-m", "ssl3d", "resume", str(tmp_path / "out")],
        cwd="/",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Going on from step {said.split()[-2]} of 60" in done.stdout
    ssl3d.finetune(spec, out=tmp_path / "whole")
    assert not different(weights_of(tmp_path / "whole"), weights_of(tmp_path / "out"))


def test_relative_paths_start_from_where_the_run_was_begun(
    make_spec: MakeSpec,
    labelled_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = {
        "manifest": None,
        "images": "images/*.nii.gz",
        "labels": "labels/*.nii.gz",
        "group_by": r"(images/\d)",
    }
    spec = make_spec(data=data)
    monkeypatch.chdir(labelled_set)
    ssl3d.finetune(spec, out=tmp_path / "run")
    before = json.loads((tmp_path / "run" / "data.json").read_text())
    RunFolder(tmp_path / "run").checkpoint(4).unlink()
    monkeypatch.chdir(tmp_path)
    result = ssl3d.finetune(spec, out=tmp_path / "run", resume=True)
    assert result.finished
    assert json.loads((tmp_path / "run" / "data.json").read_text()) == before


def test_what_a_resumed_run_may_not_change(
    make_spec: MakeSpec, labelled_set: Path, tmp_path: Path
) -> None:
    table = tmp_path / "cases.csv"
    table.write_text(
        (labelled_set / "cases.csv")
        .read_text()
        .replace("images/", f"{labelled_set}/images/")
        .replace("labels/", f"{labelled_set}/labels/")
    )
    spec = make_spec(task=REGRESSION, data={"manifest": str(table)})
    ssl3d.finetune(spec, out=tmp_path / "run")
    for path, value in (
        ("seed", 1),
        ("data.subjects", 1),
        ("recipe", {"name": "scratch", "peak": 0.5}),
        ("task.loss", "l1"),
    ):
        changed = spec.with_values({path: value})
        with pytest.raises(ssl3d.RunError, match="was run with another spec"):
            ssl3d.finetune(changed, out=tmp_path / "run", resume=True)
    free = spec.with_values({"trainer.log_every": 1, "data.workers": 1})
    assert ssl3d.finetune(free, out=tmp_path / "run", resume=True).finished
    table.write_text(table.read_text().replace(",40,", ",41,"))
    with pytest.raises(ValueError, match=r"data\.manifest has other content"):
        ssl3d.finetune(free, out=tmp_path / "run", resume=True)
    RunFolder(tmp_path / "run").data.unlink()
    with pytest.raises(ssl3d.RunError, match="cannot be read any more"):
        ssl3d.finetune(free, out=tmp_path / "run", resume=True)
