"""One run's training step, for Lightning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import PretrainOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.run.module import RunModule
from ssl3d.run.run_error import RunError
from ssl3d.sparse import HiddenLevels
from ssl3d.sparse.layers import OneSiteError
from ssl3d.streams import Stream, generator, global_seed
from ssl3d.tasks.pretrain.spec import ExperimentSpec


class PretrainModule(RunModule):
    """Feeds micro-batches to a `PretrainModel` and knows how many it has fed.

    Masks, sampled sites and dropout are pure functions of (seed, micro-batch, rank); the sampler of
    crops is one of (seed, crop).
    """

    model: PretrainModel
    spec: ExperimentSpec

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Loss of one micro-batch, with what else shall be logged of it."""
        seed, at, rank = self.spec.seed, self.micro_batches, self.global_rank
        with global_seed(seed, Stream.LAYERS, at, rank, device=self.device):
            output = self._forward(
                batch,
                hidden=self._draw(batch["valid"]),
                generator=generator(seed, Stream.LOSS, at, rank),
            )
        self.count(
            output.loss,
            sources=list(batch["source"]),
            measurable=measurable(self.model, output),
        )
        return {"loss": output.loss, **output.numbers}

    def _draw(self, valid: Tensor) -> HiddenLevels:
        """Hidden levels of this rank's crops, cut from those of the global batch.

        The masker's draw for a sample does not depend on what other samples may hide, so ranks
        need not exchange it.
        """
        own = self.model.hideable(valid)
        b, gd, gh, gw = own.shape
        mine = slice(self.global_rank * b, (self.global_rank + 1) * b)
        hideable = torch.ones(self.trainer.world_size * b, gd, gh, gw, dtype=torch.bool)
        hideable[mine] = own
        levels = self.model.draw(
            (gd, gh, gw),
            batch_size=len(hideable),
            generator=generator(self.spec.seed, Stream.MASK, self.micro_batches),
            hideable=hideable,
        )
        return levels.rows(mine.start, mine.stop)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> Any:  # noqa: ARG002
        """A `PretrainOutput` for held-out crops, with masks that depend on the crop alone.

        Sites that a loss samples depend on all crops of the batch: give one at a time.
        """
        valid, numbers = batch["valid"], batch["index"].tolist()
        return self._forward(
            batch,
            hidden=held_out_levels(self.model, valid=valid, numbers=numbers),
            generator=generator(0, Stream.HELD_OUT_LOSS, *numbers),
        )

    def _forward(self, batch: dict[str, Any], **options: Any) -> PretrainOutput:
        """The model's output; an error that one crop causes names its volume."""
        try:
            output: PretrainOutput = self.model(batch["volume"], valid=batch["valid"], **options)
        except OneSiteError as error:
            # Where another rank holds the one site, any volume of this batch is among the causes.
            own = slice(None) if error.sample is None else slice(error.sample, error.sample + 1)
            sources = "\n".join(f"  {name}" for name in batch["source"][own])
            raise RunError(
                f"Stopped at step {self.step}: {error}. It was cut from\n{sources}\n"
                "Leave the volume out if it is much smaller than the patch. Checkpoints that were "
                "written before are kept; trainer.checkpoint_every says how often they are"
            ) from error
        return output


def held_out_levels(model: PretrainModel, *, valid: Tensor, numbers: list[int]) -> HiddenLevels:
    """Hidden levels of held-out crops, the same in every run of a masker.

    Args:
        model: draws and knows its cells.
        valid: (B, D, H, W) bool.
        numbers: of the crops.
    """
    hideable = model.hideable(valid)
    _, gd, gh, gw = hideable.shape
    drawn = [
        model.draw(
            (gd, gh, gw),
            batch_size=1,
            generator=generator(0, Stream.HELD_OUT, number),
            hideable=own[None],
        )
        for own, number in zip(hideable, numbers, strict=True)
    ]
    levels = zip(*(one.levels for one in drawn), strict=True)
    return HiddenLevels(
        tuple(torch.cat(level) for level in levels),
        weights=drawn[0].weights,
        passes=drawn[0].passes,
    )


@torch.no_grad()
def measurable(model: PretrainModel, output: PretrainOutput) -> dict[str, Tensor]:
    """Label of each loss to (B,) bool: crops in which it found something to measure."""
    found = {}
    for label, loss in zip(model.labels, model.losses, strict=True):
        assert isinstance(loss, Loss)
        found[label] = loss.measurable(output)
    return found
