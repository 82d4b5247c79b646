"""Two processes train as one with the joined batch, however they were started."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from test_resume import rows
from toy import Toy, run
from two_ranks import start

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.launch import Started, launched, started, was_launched
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec

OPTIONS: dict[str, Any] = {
    "steps": 4,
    "accumulate": 2,
    "log_every": 1,
    "checkpoint_every": 2,
    "optimizer": {"ema": 0.9, "name": "sgd", "momentum": 0.9},
}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by two ranks, with a step that is skipped."""
    folder = tmp_path_factory.mktemp("two")
    done = start(folder, devices=2, task={"size": 2, "dropout": 0.0, "bad": [19]}, **OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished 4") == 2
    assert "Step 3 was skipped: a loss is not finite" in done.stdout
    assert "volume-19" in done.stdout, "found by the other rank"
    return folder


def close(mine: Path, other: Path) -> None:
    """Weights, statistics, moments, average and metrics are the same but for rounding."""
    ends = [read_checkpoint(one / "checkpoints/step-000000004.ckpt") for one in (mine, other)]
    for part in ("state_dict", "average", "optimizer"):
        torch.testing.assert_close(ends[0][part], ends[1][part], rtol=1e-4, atol=1e-5)
    # What is not finite in one rank's batch is so in all: they share the statistics.
    numbers = [
        [
            {k: float(v) for k, v in row.items() if v and k != "train/bad_losses"}
            for row in rows(one)
        ]
        for one in (mine, other)
    ]
    for a, b in zip(*numbers, strict=True):
        assert a == pytest.approx(b, rel=1e-4, nan_ok=True)


@pytest.mark.slow
def test_gradients_statistics_and_means_are_those_of_one(two: Path, tmp_path: Path) -> None:
    run(Toy(size=4, dropout=0.0, bad={19}), tmp_path, **OPTIONS)
    close(two, tmp_path)


@pytest.mark.slow
def test_another_number_of_ranks_goes_on(two: Path, tmp_path: Path) -> None:
    """With the same global batch."""
    run(Toy(size=4, dropout=0.0, bad={19}), tmp_path, **OPTIONS)
    (tmp_path / "checkpoints/step-000000004.ckpt").unlink()
    task = {"size": 2, "dropout": 0.0, "bad": [19]}
    done = start(tmp_path, devices=2, task=task, resume=True, **OPTIONS)
    assert done.returncode == 0, done.stderr
    close(two, tmp_path)


@pytest.mark.slow
def test_torchrun_without_devices_is_one_run_of_two_ranks(two: Path, tmp_path: Path) -> None:
    task = {"size": 2, "dropout": 0.0, "bad": [19]}
    done = start(tmp_path, launcher=TORCHRUN, devices="auto", task=task, **OPTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished 4") == 2
    close(two, tmp_path)


@pytest.mark.slow
@pytest.mark.faults("a rank dies", "all end within a minute with its error; resumed: equal")
@pytest.mark.parametrize(
    ("how", "rank", "launcher"),
    [("kill", 1, ()), ("raise", 0, ()), ("raise", 1, TORCHRUN)],
)
def test_a_rank_that_dies_ends_the_run(
    how: str,
    rank: int,
    launcher: tuple[str, ...],
    two: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    began = time.monotonic()
    devices = "auto" if launcher else 2
    task = {"size": 2, "dropout": 0.0, "bad": [19]}
    options: dict[str, Any] = {"launcher": launcher, "devices": devices, "task": task, **OPTIONS}
    done = start(tmp_path, how=how, dies_at=[rank, 16 + 2 * rank], **options)
    assert done.returncode != 0
    assert time.monotonic() - began < 60
    if how == "raise":
        assert "this rank has had enough" in done.stderr
        return
    assert start(tmp_path, resume=True, **options).returncode == 0
    assert rows(tmp_path) == rows(two)
    record_property("result", "ended within a minute, resumed: equal")


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_after_the_same_step(tmp_path: Path) -> None:
    done = start(tmp_path, devices=2, task={"size": 1}, how="signal", steps=1000)
    assert done.stdout.count("asked 3") == 2, done.stdout + done.stderr
    assert done.returncode == 85
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000003.ckpt"]


def test_what_slurm_and_torchrun_started() -> None:
    assert started({}) is None
    assert started({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "ct"}) is None
    assert started({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "interactive"}) is None
    slurm = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "ct"}
    assert started({**slurm, "SLURM_STEP_ID": "0"}) == Started("SLURM", 4, 2)
    with pytest.raises(RunError, match="put srun before the command"):
        started(slurm)
    torchrun = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}
    assert started(torchrun) == Started("torchrun", 2, 3)


def test_only_what_a_launcher_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own process goes on where its shell has ended."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert not was_launched(None, environment=LightningEnvironment())
    assert was_launched(Started("torchrun", 2, 1), environment=LightningEnvironment())
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert was_launched(None, environment=LightningEnvironment())


def test_a_rank_whose_parent_died_before_it_began_ends_itself(
    run_python: Callable[..., Any],
) -> None:
    done = run_python(
        "import time; from ssl3d.run.launch import end_with_parent\n"
        "end_with_parent(2**30); time.sleep(60)"
    )
    assert done.returncode == 1
    assert "The process that started this rank has ended" in done.stderr


def test_ranks_are_told_who_starts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL3D_PARENT", "0")  # put back at the end
    launched(TrainerSpec(accelerator="cpu", devices=1))
    assert os.environ["SSL3D_PARENT"] == str(os.getpid())
