"""Weights & Biases."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger

from ssl3d.folder import RunFolder
from ssl3d.run.run_logger import Flat, RunLogger


class WeightsAndBiases(RunLogger):
    """A run of the project `ssl3d` (or WANDB_PROJECT); WANDB_MODE=offline keeps it in the folder.

    Args:
        folder: of the run.
        identity: of the run that goes on; None: a new one.

    Raises:
        ModuleNotFoundError: wandb is not installed.
    """

    logger: WandbLogger

    def __init__(self, folder: RunFolder, *, identity: str | None = None) -> None:
        folder.root.mkdir(parents=True, exist_ok=True)  # wandb goes elsewhere without it
        self.identity = identity or secrets.token_hex(8)
        super().__init__(
            WandbLogger(
                name=folder.root.name,
                save_dir=folder.root,
                id=self.identity,
                project=os.environ.get("WANDB_PROJECT", "ssl3d"),
            )
        )

    def picture(self, name: str, path: Path, step: int) -> None:
        """See `RunLogger`."""
        self.logger.log_image(name, [str(path)], step=step)

    def parameters(self, values: Flat) -> None:
        """See `RunLogger`."""
        self.logger.log_hyperparams(dict(values))

    def close(self) -> None:
        """See `RunLogger`. Lightning leaves the run open for others of the process."""
        self.logger.experiment.finish()
