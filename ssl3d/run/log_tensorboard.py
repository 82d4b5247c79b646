"""TensorBoard."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.image import imread

from ssl3d.folder import RunFolder
from ssl3d.run.run_logger import Flat, RunLogger

FOLDER = "tensorboard"
"""In a run's."""

JUDGED = "held_out/loss"
"""The number that the table of hyper-parameters shows."""


class TensorBoard(RunLogger):
    """Files for `tensorboard --logdir`.

    Args:
        folder: of the run.
        last_step: of the checkpoint that is resumed; what was logged after it is dropped.
    """

    logger: TensorBoardLogger

    def __init__(self, folder: RunFolder, *, last_step: int) -> None:
        super().__init__(
            TensorBoardLogger(
                folder.root,
                name=FOLDER,
                version="",
                default_hp_metric=False,
                purge_step=last_step + 1,
            )
        )

    def picture(self, name: str, path: Path, step: int) -> None:
        """See `RunLogger`."""
        self.logger.experiment.add_image(name, imread(path)[..., :3], step, dataformats="HWC")

    def parameters(self, values: Flat) -> None:
        """See `RunLogger`. Lightning's way would log a value for the number that they are judged
        by, before there is one.
        """
        from torch.utils.tensorboard.summary import hparams  # loads all of TensorBoard

        for summary in hparams(values, {JUDGED: 0.0}):  # type: ignore[no-untyped-call]
            self.logger.experiment._get_file_writer().add_summary(summary)
