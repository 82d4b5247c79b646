"""Which checkpoints stay, and whose unfinished files go."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl3d.files import host_name, written_whole
from ssl3d.folder import RunFolder
from ssl3d.run.kept import best_checkpoint, prune, scores_of


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with checkpoints of the steps 1 to 6."""
    made = RunFolder(tmp_path)
    made.checkpoints.mkdir()
    for step in range(1, 7):
        made.checkpoint(step).write_text("")
    return made


def left(folder: RunFolder) -> list[int]:
    """Steps of the checkpoints that are there."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.checkpoints.iterdir())


SCORES = {1: 5.0, 2: 1.0, 3: 2.0, 4: math.nan, 6: 2.0, 9: 0.0}


@pytest.mark.parametrize(
    ("newest", "scores", "highest", "kept"),
    [
        (2, None, False, [5, 6]),
        (9, None, False, [1, 2, 3, 4, 5, 6]),
        (1, SCORES, False, [2, 6]),
        (3, SCORES, True, [1, 4, 5, 6]),
        (1, {0: 1.0, 4: math.nan}, False, [6]),
        (1, {4: math.nan, 5: 1.0}, False, [1, 2, 3, 5, 6]),  # the metrics before were lost
        (1, {}, False, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_newest_and_best(
    folder: RunFolder, newest: int, scores: dict[int, float] | None, highest: bool, kept: list[int]
) -> None:
    before = set(left(folder))
    removed = prune(folder, newest=newest, scores=scores, highest=highest)
    assert left(folder) == kept
    assert removed == [folder.checkpoint(step) for step in sorted(before - set(kept))]


def test_the_first_of_equal_ones_is_the_best(folder: RunFolder) -> None:
    assert best_checkpoint(folder, scores={6: 2.0, 3: 2.0}) == folder.checkpoint(3)
    assert best_checkpoint(folder, scores={}) is None


def test_scores_come_from_metrics() -> None:
    rows = [{"step": 1.0, "a": 2.0}, {"step": 2.0, "b": 3.0}, {"step": 3.0, "a": 1.0}]
    assert scores_of(rows, "a") == {1: 2.0, 3: 1.0}


def unfinished(folder: RunFolder, writer: str) -> Path:
    """What a writer of a checkpoint leaves behind."""
    path = folder.checkpoints / f".step-000000007.ckpt.{writer}-0123abcd.tmp"
    path.write_text("half")
    return path


def dead_process() -> int:
    """Number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_writers_left_behind_goes(folder: RunFolder) -> None:
    dead = unfinished(folder, f"{host_name()}-{dead_process()}")
    alive = unfinished(folder, f"{host_name()}-{os.getppid()}")
    metrics = folder.root / f".metrics.csv.{host_name()}-{2**30}-0123abcd.tmp"
    metrics.write_text("half")
    elsewhere = unfinished(folder, "another-host-1")
    old = unfinished(folder, "an-old-host-1")
    others = folder.checkpoints / ".step-000000007.ckpt.notes.tmp"  # not named as a writer's
    others.write_text("mine")
    for path in (old, others):
        os.utime(path, times=(time.time() - 2 * 24 * 3600,) * 2)
    with written_whole(folder.checkpoint(8)) as own:
        prune(folder, newest=9)
        assert [dead.exists(), alive.exists(), elsewhere.exists(), old.exists(), own.exists()] == [
            False,
            True,
            True,
            False,
            True,
        ]
    assert folder.checkpoint(8).exists()
    assert others.exists()
    assert not metrics.exists()
