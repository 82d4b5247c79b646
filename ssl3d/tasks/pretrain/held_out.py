"""Held-out crops, measured every few steps: losses, image quality and rank of the features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import lightning
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ssl3d.interfaces import PretrainOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.restoration import RestorationLoss
from ssl3d.measure.feature_rank import gram, rankme
from ssl3d.measure.image_quality import image_quality
from ssl3d.run.callback import RunCallback
from ssl3d.run.metrics import Metrics
from ssl3d.tasks.pretrain.module import PretrainModule, scalars

SINGLE = 2.0
"""Effective rank below which features hardly differ in more than one direction."""


class HeldOut(RunCallback[PretrainModule]):
    """Measures every loss, level and trivial prediction on fixed crops with fixed masks.

    Args:
        metrics: takes the numbers, as `held_out/...`.
        warn: takes a line for the user.
    """

    def __init__(self, metrics: Metrics, *, warn: Callable[[str], None]) -> None:
        self._metrics = metrics
        self._warn = warn
        self._collapsed: set[int] = set()

    def after_step(self, trainer: lightning.Trainer, module: PretrainModule) -> None:
        """Measure where it is due."""
        options = module.spec.trainer
        due = module.step % options.validate_every == 0 or module.step >= options.steps
        if due:
            with module.clock.paused(), evaluating(module):
                found = self._measure(trainer, module)
            self._metrics.put({f"held_out/{name}": value for name, value in found.items()})

    def _measure(self, trainer: lightning.Trainer, module: PretrainModule) -> dict[str, float]:
        """Means over the held-out crops of all ranks."""
        quality, mean, grams = module.spec.quality, Mean(), list[Tensor]()
        for i, batch in enumerate(trainer.datamodule.val_dataloader()):  # type: ignore[attr-defined]
            batch = trainer.strategy.batch_to_device(batch)
            output: Any = trainer.strategy.validation_step(batch, i)
            mean.add(measured(output, model=module.model), count=len(batch["volume"]))
            if quality.images:
                for found in image_quality(output):
                    mean.add(found)
            if quality.rank:
                new = [gram(features) for features in output.stages]
                grams = [a + b for a, b in zip(grams, new, strict=True)] if grams else new
        return {**mean.over_ranks(), **self._ranks(grams, trainer=trainer, module=module)}

    def _ranks(
        self, grams: list[Tensor], *, trainer: lightning.Trainer, module: PretrainModule
    ) -> dict[str, float]:
        """Effective rank of each stage; warns once of each that is low."""
        found: dict[str, float] = {}
        for i, own in enumerate(grams):
            total: Any = own
            if trainer.world_size > 1:
                total = trainer.strategy.reduce(own, reduce_op="sum")
            rank, channels = rankme(total), len(own)
            found[f"rank/stage{i}"] = rank
            share = module.spec.quality.collapse
            low = share > 0 and rank < max(SINGLE, share * channels)
            if low and i not in self._collapsed:
                self._collapsed.add(i)
                self._warn(
                    f"Step {module.step}: the features of stage {i} use {rank:.1f} of {channels} "
                    "directions (held_out/rank): they collapse. A lower optimizer.lr or a smaller "
                    "weight of contrasting losses may help"
                )
        return found


def measured(output: PretrainOutput, *, model: PretrainModel) -> dict[str, float]:
    """Losses and metrics of an output, and of the trivial prediction on the very same patches."""
    found = {"loss": output.loss.detach(), **scalars(output)}
    for label, loss in zip(model.labels, model.losses, strict=True):
        if isinstance(loss, RestorationLoss):
            for name, value in trivial(loss, output).items():
                found[f"{label}/trivial" if name == "loss" else f"{label}/trivial/{name}"] = value
    return {name: float(value) for name, value in found.items()}


def trivial(loss: RestorationLoss, output: PretrainOutput) -> dict[str, Tensor]:
    """What `loss` gives for the trivial prediction, under the names that its own numbers have."""
    if not output.nested:
        return loss.trivial(output)
    # Each encoder pass by itself: it hides its own level, and shows other voxels.
    passes = zip((output, *output.nested), output.levels.encoder_passes(), strict=True)
    values = [loss.trivial(replace(one, levels=levels))["loss"] for one, levels in passes]
    weights = output.levels.weights
    weighted = [weight * value for weight, value in zip(weights, values, strict=True)]
    return {
        "loss": torch.stack(weighted).sum() / sum(weights),
        **{f"pass{i}": value for i, value in enumerate(values)},
    }


class Mean:
    """Weighted means of named numbers."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, values: Mapping[str, float], *, count: int = 1) -> None:
        """Add means over `count` things."""
        for name, value in values.items():
            total, before = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value * count, before + count)

    def over_ranks(self) -> dict[str, float]:
        """The means over all ranks; what was never added is left out."""
        parts: list[Any] = [self._sums]
        if dist.is_available() and dist.is_initialized():
            parts = [None] * dist.get_world_size()
            dist.all_gather_object(parts, self._sums)
        names = dict.fromkeys(name for part in parts for name in part)
        pairs = {name: [part[name] for part in parts if name in part] for name in names}
        return {
            name: sum(total for total, _ in found) / sum(count for _, count in found)
            for name, found in pairs.items()
        }


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
