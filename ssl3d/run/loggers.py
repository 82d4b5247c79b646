"""Lightning's loggers by name, beside the run's own metrics file."""

from __future__ import annotations

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from ssl3d.run.run_error import RunError
from ssl3d.tasks.pretrain.folder import RunFolder
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def make_loggers(spec: ExperimentSpec, *, folder: RunFolder, last_step: int) -> list[Logger]:
    """The loggers that a spec asks for.

    Args:
        spec: of the run.
        folder: where they write.
        last_step: of the checkpoint that is resumed; what was logged after it is dropped where
            the logger can do so.

    Raises:
        RunError: a logger's library is not installed.
    """
    return [_make(name, folder=folder, last_step=last_step) for name in spec.trainer.loggers]


def _make(name: str, *, folder: RunFolder, last_step: int) -> Logger:
    try:
        if name == "tensorboard":
            return TensorBoardLogger(
                folder.root,
                name="tensorboard",
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
