"""One run's training step, for Lightning."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor

from ssl3d.data import Batches
from ssl3d.data.loader import CropLoader
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.run.module import RunModule
from ssl3d.run.run_error import RunError
from ssl3d.sparse.layers import OneSiteError
from ssl3d.streams import Stream, generator, global_seed
from ssl3d.tasks.pretrain.spec import ExperimentSpec


class LightningBatches(lightning.LightningDataModule):
    """Batches of a run for Lightning, from sample `start` on."""

    def __init__(self, batches: Batches, *, start: int) -> None:
        super().__init__()
        self._batches = batches
        self._start = start

    def train_dataloader(self) -> CropLoader:
        """This rank's endless batches."""
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return self._batches.training(start=self._start, rank=rank, world=world)

    def held_out(self) -> CropLoader:
        """This rank's held-out crops."""
        assert self.trainer is not None
        return self._batches.held_out(rank=self.trainer.global_rank, world=self.trainer.world_size)


class PretrainModule(RunModule):
    """Feeds batches to a `PretrainModel` and knows how many it has fed.

    Crops and what is hidden of them come with the batch. Sampled sites and dropout are pure
    functions of the seed and the first sample of the batch.
    """

    model: PretrainModel
    spec: ExperimentSpec

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Loss of one micro-batch, with what else shall be logged of it."""
        seed, first = self.spec.seed, batch.samples[0]
        with global_seed(seed, Stream.LAYERS, first, device=self.device):
            output = self._step(batch, generator=generator(seed, Stream.LOSS, first))
        self.count(
            output.loss,
            sources=list(batch.sources),
            measurable=measurable(self.model, output.step),
        )
        return {"loss": output.loss, **output.numbers}

    def validation_step(  # type: ignore[override]  # its answer is ours
        self,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> PretrainOutput:
        """What the model makes of held-out crops.

        Sites that a loss samples depend on all crops of the batch: give one at a time.
        """
        return self._step(batch, generator=held_out_generator(batch))

    def _step(self, batch: Batch, *, generator: torch.Generator) -> PretrainOutput:
        """The model's output; an error that one crop causes names its volume."""
        try:
            return self.model.step(batch, generator=generator)
        except OneSiteError as error:
            # Where another rank holds the one site, any volume of this batch is among the causes.
            own = slice(None) if error.sample is None else slice(error.sample, error.sample + 1)
            sources = "\n".join(f"  {name}" for name in batch.sources[own])
            raise RunError(
                f"Stopped at step {self.step}: {error}. It was cut from\n{sources}\n"
                "Leave the volume out if it is much smaller than the patch. Checkpoints that were "
                "written before are kept; trainer.checkpoint_every says how often they are"
            ) from error


def held_out_generator(batch: Batch) -> torch.Generator:
    """For losses that sample sites of held-out crops: the same in every run."""
    return generator(0, Stream.HELD_OUT_LOSS, *batch.samples)


@torch.no_grad()
def measurable(model: PretrainModel, step: StepOutput) -> dict[str, Tensor]:
    """Label of each loss to (B,) bool: crops in which it found something to measure."""
    found = {}
    for label, loss in zip(model.labels, model.losses, strict=True):
        assert isinstance(loss, Loss)
        found[label] = loss.measurable(step)
    return found
