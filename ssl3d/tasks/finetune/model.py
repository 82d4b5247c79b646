"""What is fine-tuned: a backbone, a decoder for tasks on voxels, and the task's head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.decoder import Decoder, encoded
from ssl3d.kinds.task import DownstreamTask, Labelled
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.tasks.finetune.recipe import Recipe


class NumberedBatch(Labelled, Protocol):
    """Labelled crops that know which samples they are."""

    @property
    def samples(self) -> Sequence[int]:
        """Number of each sample, counted over the whole training."""


class FinetuneModel(nn.Module):
    """Backbone, decoder and task in one module, whose `forward` is a whole step.

    Args:
        backbone: pre-trained or not.
        decoder: with as many channels as the task has outputs; None for tasks on cases.
        task: what is learned.
        recipe: what trains when.
        steps: of the whole training.
        samples_per_step: over all ranks and micro-batches; tells the step from a sample's number,
            so that a resumed run knows it as well.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        decoder: Decoder | None,
        task: DownstreamTask,
        recipe: Recipe,
        steps: int,
        samples_per_step: int,
    ) -> None:
        super().__init__()
        assert isinstance(task.config, TaskConfig)
        assert (decoder is None) == (task.config.per == "case"), "voxels need a decoder, cases none"
        self.backbone, self.decoder, self.task = backbone, decoder, task
        self.recipe, self.steps, self.samples_per_step = recipe, steps, samples_per_step
        if recipe.name == "frozen":
            backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays in evaluation mode: its statistics do not change either."""
        super().train(mode)
        if self.recipe.name == "frozen":
            self.backbone.eval()
        return self

    def forward(self, batch: NumberedBatch) -> dict[str, Tensor]:
        """The task's loss of a batch; `loss` is to minimise, the others are logged."""
        step = batch.samples[0] // self.samples_per_step
        trains = self.recipe.trains("encoder", step=step, steps=self.steps)
        crops = self._crops(batch.volume, batch.valid, learn=trains)
        outputs = self._cases(crops, batch.counts)
        found = self.task.loss(outputs, batch=batch)
        waiting = [p for p in self.backbone.parameters() if p.requires_grad]
        if self.training and not trains and waiting:
            # Distributed training waits for every gradient: it is zero, and so is the rate.
            nothing = torch.stack([p.sum() for p in waiting]).sum() * 0.0
            found = {**found, "loss": found["loss"] + nothing}
        return found

    @torch.no_grad()
    def predict(
        self,
        volume: Tensor,
        *,
        valid: Tensor | None = None,
        counts: Sequence[int] | None = None,
        at_once: int | None = None,
    ) -> Tensor:
        """What may be averaged over windows, flips and models.

        Args:
            volume: (R, C, D, H, W), edges multiples of the backbone's divisor; on the model's
                device, or elsewhere, from where `at_once` rows are taken there.
            valid: (R, D, H, W) bool; None where all voxels are valid.
            counts: rows of each case; one each by default.
            at_once: rows that are computed at once; all by default.

        Returns:
            (R, K, D, H, W) for tasks on voxels, (B, K) for tasks on cases, in single precision.
        """
        step = at_once or len(volume)
        parts = (
            (volume[i : i + step], None if valid is None else valid[i : i + step])
            for i in range(0, len(volume), step)
        )
        return self.predict_parts(parts, counts=counts or (1,) * len(volume))

    @torch.no_grad()
    def predict_parts(
        self, parts: Iterable[tuple[Tensor, Tensor | None]], *, counts: Sequence[int]
    ) -> Tensor:
        """As `predict`, of rows that come part by part, (volume, valid), and need not all be there.

        Args:
            parts: on any device.
            counts: rows of each case, over all parts.
        """
        device = next(self.parameters()).device
        outputs = [
            self._crops(
                volume.to(device), None if valid is None else valid.to(device), learn=False
            )[0]
            for volume, valid in parts
        ]
        return self.task.probabilities(self._cases((torch.cat(outputs),), counts)[0])

    def _crops(self, volume: Tensor, valid: Tensor | None, *, learn: bool) -> tuple[Tensor, ...]:
        """What the task makes of each crop."""
        with nullcontext() if learn else torch.no_grad():
            stages, beside = encoded(self.backbone, volume, decoder=self.decoder)
        decoded = None if self.decoder is None else self.decoder(stages, **beside)
        found: tuple[Tensor, ...] = self.task(stages, decoded=decoded, valid=valid)
        return found

    def _cases(self, crops: tuple[Tensor, ...], counts: Sequence[int]) -> tuple[Tensor, ...]:
        """The outputs: of tasks on voxels those of the crops."""
        if self.decoder is not None:
            return crops
        return (self.task.joined(crops[0], counts=counts),)
