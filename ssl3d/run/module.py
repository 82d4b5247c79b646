"""What training is to Lightning, whatever the task: counts, optimiser, schedules, clipping."""

from __future__ import annotations

import math
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

import ssl3d
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.origin import plugins_of
from ssl3d.run.clock import Clock
from ssl3d.run.optimizer import decayed_names, make_optimizer
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import NotFiniteError
from ssl3d.run.schedule import learning_rate, weight_decay
from ssl3d.run.trainer_spec import TrainerSpec

KEY = "ssl3d"
"""Where a checkpoint keeps what Lightning does not know of."""

FORMAT = 2
"""Of that entry. 1: crops and masks were drawn otherwise, so that no such run can go on."""


class RunSpec(Protocol):
    """What the loop must know of the spec of a task."""

    @property
    def trainer(self) -> TrainerSpec: ...
    @property
    def optimizer(self) -> OptimizerSpec: ...
    @property
    def seed(self) -> int: ...
    def components(self) -> tuple[ComponentConfig, ...]: ...
    def to_json(self) -> str: ...


class RunModule(lightning.LightningModule):
    """Base of what trains: it knows how much it was fed, and takes the steps.

    A task's `training_step` gives a dict with `loss` and what else shall be logged, and calls
    `count` for each micro-batch. The counts kept here are all that a resumed run needs besides
    weights and optimiser.

    Args:
        model: what is trained.
        spec: of the run.

    Attributes:
        micro_batches: fed so far, each on all ranks.
        samples: crops fed so far, over all ranks.
        clock: seconds of training so far.
        sources: volumes that the crops of the last micro-batch came from.
        measurable: label of each loss to (B,) bool, the crops of the last micro-batch in which it
            found something to measure.
    """

    spec: RunSpec

    def __init__(self, model: nn.Module, *, spec: RunSpec) -> None:
        super().__init__()
        self.clock = Clock()
        self.model = model
        self.spec = spec
        self.micro_batches = 0
        self.samples = 0
        self.gradient_norm = math.nan
        self.sources: list[str] = []
        self.measurable: dict[str, Tensor] = {}
        self._decayed = decayed_names(self)
        self.configure_optimizers()  # here already: a missing library shows before data is read
        self._fed: list[tuple[Tensor, list[str]]] = []

    def count(self, loss: Tensor, *, sources: list[str], measurable: dict[str, Tensor]) -> None:
        """Count a micro-batch in: its loss, its crops' volumes, and see `measurable`."""
        self.sources, self.measurable = sources, measurable
        self._fed.append((loss.detach(), sources))
        self.micro_batches += 1
        self.samples += len(sources) * self.trainer.world_size

    @property
    def empty(self) -> Tensor:
        """(B,) bool: crops of the last micro-batch in which no loss found anything to measure."""
        return ~torch.stack(list(self.measurable.values())).any(0)

    @property
    def step(self) -> int:
        """Optimiser steps taken, those of the runs that this one resumes among them."""
        return self.micro_batches // self.spec.trainer.accumulate

    @property
    def step_is_complete(self) -> bool:
        """True after the last micro-batch of an optimiser step."""
        return self.micro_batches % self.spec.trainer.accumulate == 0

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
            "format": FORMAT,
            "step": self.step,
            "micro_batches": self.micro_batches,
            "samples": self.samples,
            "seconds": self.clock.seconds,
            "spec": self.spec.to_json(),
            "ssl3d": ssl3d.__version__,
            "plugins": plugins_of(self.spec.components()),
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
                "Look at them, or lower optimizer.lr or optimizer.clip. Checkpoints that were "
                "written before are kept; trainer.checkpoint_every says how often they are"
            )
