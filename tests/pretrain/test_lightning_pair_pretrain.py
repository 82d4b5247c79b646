"""Pre-training in a Trainer of one's own takes the steps of a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from run_folders import rows_without_time, weights

from ssl3d import ExperimentSpec, pretrain
from ssl3d.folder import RunFolder
from ssl3d.run.lightning_pair import TaskData, TaskModule
from ssl3d.tasks.pretrain.alone import pretrain_task


def test_a_trainer_takes_the_same_steps(
    make_spec: Callable[..., ExperimentSpec], tmp_path: Path
) -> None:
    spec = make_spec(trainer={"steps": 3, "log_every": 3})
    pretrain(spec, out=tmp_path / "run")
    task = pretrain_task(spec, folder=RunFolder(tmp_path / "own"))
    pair = TaskModule(task, optimizer=spec.optimizer, steps=3, seed=spec.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=3,
            max_epochs=-1,
            gradient_clip_val=1.0,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(pair, datamodule=TaskData(task))
        trainer.validate(pair, datamodule=TaskData(task), verbose=False)
    torch.testing.assert_close(task.module.state_dict(), weights(tmp_path / "run", step=3))
    last = rows_without_time(tmp_path / "run")[-1]
    measured = float(trainer.callback_metrics["held_out/mse"])
    torch.testing.assert_close(measured, last["held_out/mse"])
    assert (tmp_path / "own/held_out.csv").exists()
