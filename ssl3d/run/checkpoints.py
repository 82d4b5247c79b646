"""When checkpoints are saved, and which are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ssl3d.folder import RunFolder
from ssl3d.run import checkpoint_file
from ssl3d.run.callback import RunCallback
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.kept import prune
from ssl3d.run.module import KEY, RunModule
from ssl3d.run.run_error import RunError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way to the files of `checkpoint_file`.

    Its own writer goes by way of the temporary folder, which may lie on another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """See `write_checkpoint`; raises TypeError for `storage_options`."""
        if storage_options is not None:
            raise TypeError("storage_options are not supported")
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002
        """Read on the CPU, tensors and plain values only."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint on the CPU.

    Raises:
        RunError: it cannot be read, or is no checkpoint of a run.
    """
    content = checkpoint_file.read_checkpoint(path)
    if KEY not in content:
        raise RunError(f"{path} is no checkpoint of a run: it has no entry {KEY!r}")
    return content


class Checkpoints(RunCallback[RunModule]):
    """Saves every few steps, at the end and when the run is stopped; keeps the newest.

    Put it last: it saves what the other callbacks have become in this step.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def after_step(self, trainer: lightning.Trainer, module: RunModule) -> None:
        """Save where it is due."""
        options = module.spec.trainer
        due = module.step % options.checkpoint_every == 0 or module.step >= options.steps
        if due or trainer.should_stop:
            with module.clock.paused():
                trainer.save_checkpoint(self._folder.checkpoint(module.step))
                if trainer.is_global_zero:
                    prune(self._folder, newest=options.keep_checkpoints)
