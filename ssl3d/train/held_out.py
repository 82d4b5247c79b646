"""Restoration of held-out crops, measured every few steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from ssl3d.interfaces import PretrainOutput
from ssl3d.pretrain import PretrainModel
from ssl3d.pretrain.restoration import RestorationLoss
from ssl3d.train.callback import RunCallback
from ssl3d.train.metrics import Metrics
from ssl3d.train.module import PretrainModule, scalars


class HeldOut(RunCallback):
    """Measures every loss, level and trivial prediction on fixed crops with fixed masks.

    Args:
        metrics: takes the numbers, as `held_out/...`.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def after_step(self, trainer: lightning.Trainer, module: PretrainModule) -> None:
        """Measure where it is due."""
        options = module.spec.trainer
        due = module.step % options.validate_every == 0 or module.step >= options.steps
        if due:
            with module.clock.paused(), evaluating(module):
                self._metrics.put(self._measure(trainer, module))

    def _measure(self, trainer: lightning.Trainer, module: PretrainModule) -> dict[str, float]:
        """Means over the held-out crops of all ranks."""
        mean = Mean(module.device)
        for i, batch in enumerate(trainer.datamodule.val_dataloader()):  # type: ignore[attr-defined]
            batch = trainer.strategy.batch_to_device(batch)
            output: Any = trainer.strategy.validation_step(batch, i)
            mean.add(measured(output, model=module.model), count=len(batch["volume"]))
        return {f"held_out/{name}": value for name, value in mean.over_ranks(trainer).items()}


def measured(output: PretrainOutput, *, model: PretrainModel) -> dict[str, Tensor]:
    """Losses and metrics of an output, and of the trivial prediction on the very same patches."""
    found = {"loss": output.loss.detach(), **scalars(output)}
    for label, loss in zip(model.labels, model.losses, strict=True):
        if isinstance(loss, RestorationLoss):
            for name, value in loss.trivial(output).items():
                found[f"{label}/trivial" if name == "loss" else f"{label}/trivial/{name}"] = value
    return found


class Mean:
    """Weighted means of named scalars."""

    def __init__(self, device: torch.device) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = torch.zeros((), device=device)

    def add(self, values: dict[str, Tensor], *, count: int) -> None:
        """Add means over `count` samples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(self._count)) + value * count
        self._count += count

    def over_ranks(self, trainer: lightning.Trainer) -> dict[str, float]:
        """The means over all ranks; nothing where nothing was added."""
        names = list(self._sums)
        if not names:
            return {}
        total = torch.stack([self._count, *self._sums.values()])
        if trainer.world_size > 1:
            reduced = trainer.strategy.reduce(total, reduce_op="sum")
            assert isinstance(reduced, Tensor)
            total = reduced
        return dict(zip(names, (total[1:] / total[0]).tolist(), strict=True))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and back to what each module was in."""
    training = {one: one.training for one in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for one, was in training.items():
            one.training = was
