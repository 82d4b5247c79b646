"""One step of pre-training, as the loop calls it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl3d.kinds.batch import Batch
from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.run.run_error import RunError
from ssl3d.sparse.layers import OneSiteError
from ssl3d.streams import Stream, generator
from ssl3d.tasks.pretrain.empty_crops import EmptyCrops


class PretrainModule(nn.Module):
    """A `PretrainModel` and what it gives of a batch.

    Crops and what is hidden of them come with the batch. Sites that a loss samples are a pure
    function of the seed and the first sample of the batch.

    Args:
        model: what is trained.
        seed: of the run.
        empty: takes crops in which no loss finds anything to measure.
    """

    def __init__(self, model: PretrainModel, *, seed: int, empty: EmptyCrops) -> None:
        super().__init__()
        self.model = model
        self._seed = seed
        self._empty = empty

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a micro-batch, with what else is logged of it, and by which share it counts:
        that of its crops in which a loss found something to measure.
        """
        output = self.step(batch, generator=generator(self._seed, Stream.LOSS, batch.samples[0]))
        found = measurable(self.model, output.step)
        shares = {f"share/{label}": one.float().mean() for label, one in found.items()}
        empty = ~torch.stack(list(found.values())).any(0)
        # A CUDA graph knows no names of volumes; a torch without CUDA cannot even be asked.
        if not (empty.is_cuda and torch.cuda.is_current_stream_capturing()):
            self._empty.add(batch.sources, empty=empty)
        return {
            "loss": output.loss,
            **output.numbers,
            "visible_share": output.loss.new_full((), visible_share(batch)),
            **shares,
            "share": torch.stack(list(shares.values())).amax(),
            "count/empty_crops": empty.sum(),
        }

    def held_out(self, batch: Batch) -> PretrainOutput:
        """What the model makes of held-out crops.

        Sites that a loss samples depend on all crops of the batch: give one at a time.
        """
        return self.step(batch, generator=held_out_generator(batch))

    def step(self, batch: Batch, *, generator: torch.Generator) -> PretrainOutput:
        """The model's output; an error that one crop causes names its volume."""
        try:
            return self.model.step(batch, generator=generator)
        except OneSiteError as error:
            # Where another rank holds the one site, any volume of this batch is among the causes.
            own = slice(None) if error.sample is None else slice(error.sample, error.sample + 1)
            sources = "\n".join(f"  {name}" for name in batch.sources[own])
            raise RunError(
                f"Stopped: {error}. It was cut from\n{sources}\n"
                "Leave the volume out if it is much smaller than the patch. Checkpoints that were "
                "written before are kept; trainer.checkpoint_every says how often they are"
            ) from error


def held_out_generator(batch: Batch) -> torch.Generator:
    """For losses that sample sites of held-out crops: the same in every run."""
    return generator(0, Stream.HELD_OUT_LOSS, *batch.samples)


def visible_share(batch: Batch) -> float:
    """Share of the cells of all views that the encoder may see; known on the host."""
    grids = [views.cells for views in batch.views]
    return sum(grid.n for grid in grids) / sum(grid.visible.numel() for grid in grids)


@torch.no_grad()
def measurable(model: PretrainModel, step: StepOutput) -> dict[str, Tensor]:
    """Label of each loss to (B,) bool: crops in which it found something to measure."""
    found = {}
    for label, loss in zip(model.labels, model.losses, strict=True):
        assert isinstance(loss, Loss)
        found[label] = loss.measurable(step)
    return found
