"""`ssl3d resume DIR`, and folders, specs and checkpoints that it refuses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from run_folders import rows_without_time

from ssl3d import ExperimentSpec, pretrain
from ssl3d.tasks.pretrain.resumable import FREE_ON_RESUME

MakeSpec = Callable[..., ExperimentSpec]


@pytest.fixture
def stopped(undisturbed: Path, tmp_path: Path) -> Path:
    """A run that was killed after its fourth step."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    (out / "checkpoints/step-000000006.ckpt").unlink()
    return out


def test_it_needs_no_spec_and_goes_on(stopped: Path, undisturbed: Path, ssl3d: Command) -> None:
    done = ssl3d("resume", stopped)
    assert done.code == 0, done.err
    assert "Going on from step 4 of 6" in done.out
    assert rows_without_time(stopped) == rows_without_time(undisturbed)


def test_options_that_may_change(stopped: Path, ssl3d: Command) -> None:
    done = ssl3d("resume", stopped, "--set", "trainer.steps=5", "--set", "optimizer.lr=1e-4")
    assert done.code == 0, done.err
    assert rows_without_time(stopped)[-1]["step"] == 5
    spec = ExperimentSpec.load(stopped / "spec.yaml")
    assert (spec.trainer.steps, spec.optimizer.lr) == (5, 1e-4)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("masker.ratio=0.5", "masker.ratio: was 0.6, is 0.5"),
        ("optimizer.name=sgd", "optimizer.name: was 'adamw', is 'sgd'"),
        ("trainer.accumulate=2", "may change only sparse_backend, "),
        ("trainer.keep_checkpoints=0", "trainer.keep_checkpoints: given 0"),
        ("trainer.loggers=[tensorbord]", "trainer.loggers.0: given 'tensorbord'"),
        ("trainer.precision=64", "trainer.precision: given '64'"),
        ("trainer.best={number: held_out/mes}", "nothing measured is called 'held_out/mes'"),
        ("trainer.stepss=3", "stepss"),
    ],
)
def test_options_that_may_not(stopped: Path, ssl3d: Command, setting: str, message: str) -> None:
    kept = {*stopped.rglob("*.ckpt"), stopped / "spec.json", stopped / "spec.yaml"}
    before = {path: path.read_bytes() for path in kept}
    done = ssl3d("resume", stopped, "--set", setting)
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert message in done.err
    assert {path: path.read_bytes() for path in kept} == before


def test_the_page_lists_what_may_change() -> None:
    page = (Path(__file__).parents[2] / "docs/clusters.md").read_text(encoding="utf-8")
    listed = page.partition("`--set` changes what may change:")[2].partition(", and [")[0]
    assert re.findall(r"`(.*?)`", listed) == [*FREE_ON_RESUME]


def test_folders_that_hold_no_run(tmp_path: Path, ssl3d: Command) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("something else")
    (tmp_path / "file").write_text("a file")
    for name in ("else", "file", "nowhere"):
        done = ssl3d("resume", tmp_path / name)
        assert done.code == 2
        assert f"out: {tmp_path / name} holds no run to resume" in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["else", "file", "notes.txt"]


def test_a_spec_that_cannot_be_read(stopped: Path, ssl3d: Command) -> None:
    (stopped / "spec.json").write_text('{"views": ')
    done = ssl3d("resume", stopped)
    assert done.code == 2
    assert f"{stopped / 'spec.json'} cannot be read any more" in done.err


def test_a_checkpoint_of_another_spec(
    stopped: Path, make_spec: MakeSpec, tmp_path: Path, ssl3d: Command
) -> None:
    """Of the same model: its tensors would fit."""
    other = make_spec(masker={"name": "random", "ratio": 0.5}, trainer={"steps": 5})
    pretrain(other, out=tmp_path / "other")
    newest = tmp_path / "other/checkpoints/step-000000005.ckpt"
    shutil.copy(newest, stopped / "checkpoints")
    done = ssl3d("resume", stopped)
    assert done.code == 2
    assert f"{stopped}/checkpoints/{newest.name} is the checkpoint of a run with" in done.err
    assert "masker.ratio: was 0.5, is 0.6" in done.err
    (stopped / "checkpoints" / newest.name).unlink()
    assert ssl3d("resume", stopped).code == 0


def test_replay_needs_a_captured_step(stopped: Path, ssl3d: Command) -> None:
    done = ssl3d("replay", stopped)
    assert done.code == 2
    assert f"{stopped} holds no captured step: give a folder faults/step-" in done.err
