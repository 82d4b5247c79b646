"""Lightning's trainer, as a spec asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException

from ssl3d.folder import RunFolder
from ssl3d.run.checkpoints import AtomicCheckpointIO
from ssl3d.run.loggers import make_loggers
from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec

PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def make_trainer(
    options: TrainerSpec, *, folder: RunFolder, step: int, callbacks: Sequence[lightning.Callback]
) -> lightning.Trainer:
    """Lightning's trainer for the rest of the steps.

    Raises:
        RunError: the machine lacks what the spec asks for.
    """
    loggers = make_loggers(options.loggers, folder=folder, last_step=step)
    try:
        trainer = lightning.Trainer(
            accelerator=options.accelerator,
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=options.strategy,
            precision=PRECISIONS[options.precision],
            max_steps=max(0, options.steps - step),
            max_epochs=-1,
            accumulate_grad_batches=options.accumulate,
            logger=loggers,
            callbacks=list(callbacks),
            plugins=[AtomicCheckpointIO()],
            default_root_dir=folder.root,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise RunError(f"trainer: {error}") from error
    if options.precision == "16" and trainer.strategy.root_device.type == "cpu":
        raise RunError("trainer.precision: 16 needs a GPU; given a CPU: use 32 or bf16")
    return trainer
