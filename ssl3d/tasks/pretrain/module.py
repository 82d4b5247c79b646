"""One run's training step, for Lightning."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

import ssl3d
from ssl3d.interfaces import PretrainOutput
from ssl3d.masked.model import PretrainModel
from ssl3d.run.clock import Clock
from ssl3d.run.environment import plugins_of
from ssl3d.run.optimizer import decayed_names, make_optimizer
from ssl3d.run.run_error import NotFiniteError, RunError
from ssl3d.run.schedule import learning_rate, weight_decay
from ssl3d.sparse import HiddenLevels
from ssl3d.sparse.layers import OneSiteError
from ssl3d.streams import Stream, generator, global_seed
from ssl3d.tasks.pretrain.spec import ExperimentSpec

KEY = "ssl3d"
"""Where a checkpoint keeps what Lightning does not know of."""


class PretrainModule(lightning.LightningModule):
    """Feeds micro-batches to a `PretrainModel` and knows how many it has fed.

    Masks, sampled sites and dropout are pure functions of (seed, micro-batch, rank); the sampler of
    crops is one of (seed, crop). So the counts kept here are all that a resumed run needs besides
    weights and optimiser.

    Args:
        model: what is trained.
        spec: of the run.

    Attributes:
        micro_batches: fed so far, each on all ranks.
        samples: crops fed so far, over all ranks.
        clock: seconds of training so far.
    """

    def __init__(self, model: PretrainModel, *, spec: ExperimentSpec) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = model
        self.spec = spec
        self.micro_batches = 0
        self.samples = 0
        self.gradient_norm = math.nan
        self._decayed = decayed_names(self)
        self.configure_optimizers()  # here already: a missing library shows before data is read
        self._fed: list[tuple[Tensor, list[str]]] = []

    @property
    def step(self) -> int:
        """Optimiser steps taken, those of the runs that this one resumes among them."""
        return self.micro_batches // self.spec.trainer.accumulate

    @property
    def step_is_complete(self) -> bool:
        """True after the last micro-batch of an optimiser step."""
        return self.micro_batches % self.spec.trainer.accumulate == 0

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Loss of one micro-batch, with what else shall be logged of it."""
        seed, at, rank = self.spec.seed, self.micro_batches, self.global_rank
        with global_seed(seed, Stream.LAYERS, at, rank, device=self.device):
            output = self._forward(
                batch,
                hidden=self._draw(batch["valid"]),
                generator=generator(seed, Stream.LOSS, at, rank),
            )
        loss = output.loss
        self._fed.append((loss.detach(), list(batch["source"])))
        self.micro_batches += 1
        self.samples += len(batch["volume"]) * self.trainer.world_size
        return {"loss": loss, **scalars(output)}

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
        """A `PretrainOutput` for held-out crops, with masks that depend on the crop alone."""
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
            raise RunError(
                f"Stopped at step {self.step}: {error}. That sample was cut from\n"
                f"  {batch['source'][error.sample]}\n"
                "Leave the volume out if it is much smaller than the patch. Nothing is lost: the "
                "checkpoints of the steps before are kept"
            ) from error
        return output

    def on_train_start(self) -> None:
        """Begin to count seconds."""
        self.clock.start()

    def on_train_end(self) -> None:
        """Cease to count seconds."""
        self.clock.stop()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counts, and what the run was."""
        # A resumed run is a shorter run over the rest of the steps. Lightning's own loop counters
        # would start it in the middle of an epoch whose data they cannot restore.
        checkpoint.pop("loops", None)
        checkpoint["global_step"] = self.step
        checkpoint[KEY] = {
            "format": 1,
            "step": self.step,
            "micro_batches": self.micro_batches,
            "samples": self.samples,
            "seconds": self.clock.seconds,
            "spec": self.spec.to_json(),
            "ssl3d": ssl3d.__version__,
            "plugins": plugins_of(self.spec),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the counts."""
        self.micro_batches = checkpoint[KEY]["micro_batches"]
        self.samples = checkpoint[KEY]["samples"]
        self.clock.seconds = checkpoint[KEY]["seconds"]

    def configure_optimizers(self) -> Optimizer:
        """The spec's optimiser; learning rate and weight decay are set before each step."""
        return make_optimizer(
            self.spec.optimizer, parameters=self.named_parameters(), decayed=self._decayed
        )

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Set the schedules' values: the micro-batches of this step are counted already."""
        spec, at = self.spec.optimizer, {"step": self.step - 1, "steps": self.spec.trainer.steps}
        lr, decay = learning_rate(spec, **at), weight_decay(spec, **at)
        for group in optimizer.param_groups:
            group["lr"] = lr
            group["weight_decay"] = decay if group["decays"] else 0.0

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,  # noqa: ARG002
        gradient_clip_val: float | None = None,  # noqa: ARG002
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Clip to the spec's norm, and stop before a step that is not finite.

        Raises:
            NotFiniteError: naming the step and the volumes that it was taken on.
        """
        limit = self.spec.optimizer.clip or math.inf
        root = self.trainer.model
        if isinstance(root, FullyShardedDataParallel):
            norm = root.clip_grad_norm_(limit)
        else:
            norm = clip_grad_norm_(self.parameters(), limit)
        self.gradient_norm = float(norm)
        fed, self._fed = self._fed, []
        bad = [(loss, names) for loss, names in fed if not torch.isfinite(loss)]
        # Under half precision the gradient overflows now and then: the scaler skips such steps.
        stop = bool(bad) or (
            self.spec.trainer.precision != "16" and not math.isfinite(self.gradient_norm)
        )
        if self.trainer.world_size > 1:
            stop = self.trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            what = f"the loss is {float(bad[0][0])}" if bad else "the gradient is not finite"
            sources = "\n".join(f"  {name}" for _, names in (bad or fed) for name in names)
            raise NotFiniteError(
                f"Stopped at step {self.step}: {what}. The volumes of this step were:\n{sources}\n"
                "Look at them, or lower optimizer.lr or optimizer.clip. Nothing is lost: the "
                "weights and checkpoints of the steps before are kept"
            )


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


def scalars(output: PretrainOutput) -> dict[str, Tensor]:
    """Every loss and metric of an output by name, without gradient."""
    return {name: value.detach() for name, value in {**output.losses, **output.metrics}.items()}
