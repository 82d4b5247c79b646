"""Lightning's loggers by name, beside the run's own metrics file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from matplotlib.image import imread

from ssl3d.folder import RunFolder
from ssl3d.run.run_error import RunError

TENSORBOARD = "tensorboard"
"""Folder in a run's."""


def make_loggers(names: Iterable[str], *, folder: RunFolder, last_step: int) -> list[Logger]:
    """The loggers that a spec asks for by name.

    Args:
        names: `tensorboard`, `wandb` or `mlflow`.
        folder: where they write.
        last_step: of the checkpoint that is resumed; what was logged after it is dropped where
            the logger can do so.

    Raises:
        RunError: a logger's library is not installed.
    """
    return [_make(name, folder=folder, last_step=last_step) for name in names]


def log_pictures(
    pictures: Sequence[Path], *, loggers: Iterable[str], folder: RunFolder, step: int
) -> None:
    """Give the finished pictures to TensorBoard too, where it is among the loggers."""
    if "tensorboard" not in loggers or not pictures:
        return
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(folder.root / TENSORBOARD)) as writer:
        for path in pictures:
            writer.add_image(path.stem, imread(path)[..., :3], step, dataformats="HWC")


def _make(name: str, *, folder: RunFolder, last_step: int) -> Logger:
    try:
        if name == "tensorboard":
            return TensorBoardLogger(
                folder.root,
                name=TENSORBOARD,
                version="",
                default_hp_metric=False,
                purge_step=last_step + 1,
            )
        logger: Logger
        if name == "wandb":
            logger = WandbLogger(name=folder.root.name, save_dir=folder.root, project="ssl3d")
        else:
            logger = MLFlowLogger(
                experiment_name="ssl3d", run_name=folder.root.name, save_dir=str(folder.root / name)
            )
    except ModuleNotFoundError as error:
        raise RunError(
            f"trainer.loggers: {name!r} needs a library that is not installed: pip install {name}, "
            "or remove it"
        ) from error
    return logger
