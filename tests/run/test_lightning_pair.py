"""A task in a Trainer of one's own, and in a plain loop, takes the steps that `fit` takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import lightning
import torch
from test_resume import rows
from toy import Toy, run

from ssl3d.run.checkpoint_file import read_checkpoint
from ssl3d.run.lightning_pair import TaskData, TaskModule
from ssl3d.run.optimizer_spec import OptimizerSpec

LAST = "checkpoints/step-000000003.ckpt"


def test_a_trainer_takes_the_same_steps(tmp_path: Path) -> None:
    run(Toy(), tmp_path / "fit", steps=3, accumulate=2, log_every=3)
    task = Toy()
    pair = TaskModule(task, optimizer=OptimizerSpec(lr=0.05), steps=3, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=3,
            max_epochs=-1,
            accumulate_grad_batches=2,
            gradient_clip_val=1.0,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(pair, datamodule=TaskData(task))
        trainer.validate(pair, datamodule=TaskData(task), verbose=False)
    state = read_checkpoint(tmp_path / "fit" / LAST)["state_dict"]
    for name, value in task.module.state_dict().items():
        torch.testing.assert_close(value, state[name])
    measured = float(trainer.callback_metrics["held_out/loss"])
    assert measured == float(rows(tmp_path / "fit")[-1]["held_out/loss"])
