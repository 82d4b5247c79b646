"""What training changes from step to step: all that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from ssl3d.run.average import Average
from ssl3d.run.clock import Clock
from ssl3d.run.gate import Buffers, take_step
from ssl3d.run.graph import GraphedStep
from ssl3d.run.optimizer import load_optimizer, optimizer_of, set_rates
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.run_error import RunError
from ssl3d.run.tally import Means, loss_of
from ssl3d.run.task import Batch, Task
from ssl3d.run.trainer_spec import TrainerSpec

KEY = "ssl3d"
"""Where a checkpoint keeps what is not state of an object."""

FORMAT = 3
"""Of a checkpoint; 1 and 2 were of Lightning's Trainer."""


class Training:
    """Module, optimiser, scaler, average and counts, on their device and set up for all ranks.

    Args:
        task: to train.
        fabric: launched.
        trainer: how.
        optimizer: by which rule.
        graph: whether a step is launched as one CUDA graph, see `graphed`.
        say: takes a line for the user.

    Attributes:
        graph: the step as a CUDA graph; None where it is none.
        model: the module as Fabric wraps it: what is called.
        step: optimiser steps taken.
        samples: fed over all ranks.
        clock: seconds of training.
        means: of the steps since the last row.
        row_samples: fed when the last row was written.
        row_seconds: of the clock then.
        lr: of the last step.
    """

    def __init__(
        self,
        task: Task,
        *,
        fabric: Fabric,
        trainer: TrainerSpec,
        optimizer: OptimizerSpec,
        graph: bool,
        say: Callable[[str], None],
    ) -> None:
        if trainer.checkpoint_activations:
            task.checkpoint_activations()
        if trainer.compile:
            task.compile()
        self.module = task.module
        self.model: Any = fabric.setup_module(task.module.train())
        self._fused = fabric.device.type == "cuda" and optimizer.name != "lamb"
        self.rule = optimizer_of(optimizer, groups=task.parameter_groups(), fused=self._fused)
        self.scaler: Any = getattr(fabric.strategy.precision, "scaler", None)
        self.averaged: nn.Module = task.module.get_submodule(task.averaged)
        self.average: Average | None = None
        if optimizer.ema is not None:
            self.average = Average(self.averaged, decay=optimizer.ema)
        self.buffers = Buffers(task.module)
        self.means = Means()
        self.clock = Clock()
        self.step = self.samples = self.row_samples = 0
        self.lr = self.row_seconds = 0.0
        self._trainer, self._optimizer, self._rate = trainer, optimizer, task.rate
        self._fabric = fabric
        self._step: Callable[[Batch], Mapping[str, Tensor]] = self._eager_step
        self.graph: GraphedStep | None = None
        if graph:
            self._step = self.graph = GraphedStep(
                self._eager_step, module=task.module, always=trainer.cuda_graph is True, say=say
            )

    def forward_backward(self, batch: Batch) -> Mapping[str, Tensor]:
        """The module's answer for a micro-batch on the device; gradients are added up."""
        return self._step(batch)

    def _eager_step(self, batch: Batch) -> Mapping[str, Tensor]:
        outputs: Mapping[str, Tensor] = self.model(batch)
        self._fabric.backward(loss_of(outputs) / self._trainer.accumulate)
        return outputs

    @property
    def result(self) -> nn.Module:
        """The averaged sub-module: its average, where one is kept and a step was taken."""
        return self.averaged if self.average is None or not self.step else self.average.module

    @property
    def scale(self) -> Tensor | None:
        """Of the losses, on the device; None where they are not scaled."""
        found: Tensor | None = None if self.scaler is None else self.scaler._scale
        return found

    def update(self) -> Tensor:
        """Clip, and take the optimiser's step where the gradient is finite, skip it elsewhere.

        Returns:
            The norm of the gradient before clipping, on the device.
        """
        self.lr = set_rates(
            self.rule,
            spec=self._optimizer,
            step=self.step,
            steps=self._trainer.steps,
            rate=self._rate,
        )
        if self.scaler is not None:
            self.scaler.unscale_(self.rule)
        limit = float("inf") if self._optimizer.clip is None else self._optimizer.clip
        parameters = [p for group in self.rule.param_groups for p in group["params"]]
        norm = clip_grad_norm_(parameters, limit, error_if_nonfinite=False)
        finite = torch.isfinite(norm)
        take_step(self.rule, finite=finite, on_device=self._fused)
        if self.scaler is not None:
            self.scaler.update()
        self.rule.zero_grad()
        self.buffers.put_back(unless=finite)
        if self.average is not None:
            self.average.update(finite)
        self.step += 1
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Everything here, of tensors and plain values."""
        return {
            KEY: {
                "format": FORMAT,
                "step": self.step,
                "samples": self.samples,
                "seconds": self.clock.seconds,
                "row_samples": self.row_samples,
                "row_seconds": self.row_seconds,
            },
            "state_dict": self.module.state_dict(),
            "optimizer": self.rule.state_dict(),
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "means": self.means.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up `state_dict`'s.

        Raises:
            RunError: it is that of another model or optimiser.
        """
        done = state[KEY]
        try:
            self.module.load_state_dict(state["state_dict"])
            load_optimizer(self.rule, state["optimizer"])
            if self.average is not None and state["average"] is not None:
                self.average.load_state_dict(state["average"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise RunError(f"the checkpoint is of another model or optimiser: {error}") from error
        if self.scaler is not None and state["scaler"] is not None:
            self.scaler.load_state_dict(state["scaler"])
        self.means.load_state_dict(state["means"])
        self.step, self.samples = done["step"], done["samples"]
        self.clock.seconds = done["seconds"]
        self.row_samples, self.row_seconds = done["row_samples"], done["row_seconds"]
