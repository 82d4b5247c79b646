"""Checkpoints: written whole or not at all, readable without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ssl3d.files import written_whole
from ssl3d.folder import RunFolder
from ssl3d.run.callback import RunCallback
from ssl3d.run.module import FORMAT, KEY, RunModule
from ssl3d.run.run_error import RunError, older_run


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a crash leaves the older file as it was.

    Lightning's own writer goes by way of the temporary folder, which may lie on another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Save with `torch.save`; raises TypeError for `storage_options`."""
        if storage_options is not None:
            raise TypeError("storage_options are not supported")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as unfinished, unfinished.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002
        """Read on the CPU, tensors and plain values only."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint on the CPU.

    Raises:
        RunError: it cannot be read, or is no checkpoint of a run that this version can go on with.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything
        raise RunError(
            f"{path} cannot be read ({error}). Remove it to go on from the checkpoint before it"
        ) from error
    if KEY not in content:
        raise RunError(f"{path} is no checkpoint of a run: it has no entry {KEY!r}")
    if content[KEY]["format"] < FORMAT:
        raise older_run(path.parent.parent)
    if content[KEY]["format"] > FORMAT:
        raise RunError(
            f"{path} was written by a newer version, {content[KEY]['ssl3d']}: go on with that one"
        )
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
                    self._prune(options.keep_checkpoints)

    def _prune(self, keep: int) -> None:
        for path in sorted(self._folder.checkpoints.glob("step-*.ckpt"))[:-keep]:
            path.unlink()
        for path in self._folder.checkpoints.glob(".step-*.tmp"):
            path.unlink()  # of a run that was killed while it saved
