"""Half precision with scaled losses, on a CPU: what a GPU does, with torch's scaler for CPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision.amp import MixedPrecision
from test_resume import rows, same
from torch import Tensor
from toy import Toy, ToyBatch, ToyModule

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.fit import fit
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.task import Fitted
from ssl3d.run.trainer_spec import TrainerSpec

OPTIONS: dict[str, Any] = {
    "precision": "16",
    "steps": 6,
    "loggers": (),
    "log_every": 1,
    "checkpoint_every": 1,
    "keep_checkpoints": 9,
}


def run(task: Toy, folder: Path, *, scale: float, resume: bool = False) -> Fitted:
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
    precision = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    return fit(
        task,
        trainer=TrainerSpec(**OPTIONS),
        optimizer=OptimizerSpec(lr=0.05),
        seed=1,
        folder=folder,
        resume=resume,
        fabric=Fabric(accelerator="cpu", devices=1, plugins=[precision]),
    )


def test_an_overflow_with_a_finite_loss_is_no_fault(tmp_path: Path) -> None:
    """The step is skipped, the scale halved, and nothing said."""
    run(Toy(), tmp_path, scale=2.0**16)
    scales = [
        read_checkpoint(tmp_path / f"checkpoints/step-00000000{i}.ckpt")["scaler"]["scale"]
        for i in range(1, 7)
    ]
    assert scales[0] == 2.0**15
    assert not (tmp_path / "faults").exists()
    assert all("train/skipped_steps" not in row for row in rows(tmp_path))
    assert all(row["train/loss"] for row in rows(tmp_path)[1:])


def test_a_loss_that_is_not_finite_is_one(tmp_path: Path) -> None:
    run(Toy(bad={9}), tmp_path, scale=4.0)
    assert [row["train/skipped_steps"] for row in rows(tmp_path)] == ["", "", "", "1.0", "", "", ""]


def test_a_gradient_that_no_scale_mends_is_one(tmp_path: Path) -> None:
    """It is halved each time, and says nothing until it is below 1."""

    class Rotten(ToyModule):
        def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
            found = super().forward(batch)
            return {**found, "loss": found["loss"] + (0 * self.last.weight.sum()).sqrt()}

    task = Toy()
    task.module = Rotten()
    run(task, tmp_path, scale=4.0)
    found = read_checkpoint(tmp_path / "checkpoints/step-000000006.ckpt")
    assert found["faults"]["steps"] == [4, 5, 6]


def test_the_scaler_goes_on(tmp_path: Path) -> None:
    last = "checkpoints/step-000000006.ckpt"
    for folder in ("whole", "resumed"):
        run(Toy(), tmp_path / folder, scale=4.0)
    whole = read_checkpoint(tmp_path / "whole" / last)
    assert whole["scaler"]["scale"] == 16.0
    for step in (3, 4, 5, 6):
        (tmp_path / f"resumed/checkpoints/step-00000000{step}.ckpt").unlink()
    run(Toy(), tmp_path / "resumed", scale=1.0, resume=True)
    assert same(read_checkpoint(tmp_path / "resumed" / last), whole)
