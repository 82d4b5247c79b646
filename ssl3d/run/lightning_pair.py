"""A task as a module and a data module, for people with a `lightning.Trainer` of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning
from torch import Tensor
from torch.optim import Optimizer

from ssl3d.run.optimizer import optimizer_of, set_rates
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.task import COUNT, LOSS, SHARE, Batch, Task
from ssl3d.streams import Stream, global_seed


class TaskModule(lightning.LightningModule):
    """Trains a task by a rule and its schedules; clipping and accumulation are the Trainer's.

    What `fit` has besides is not here: skipped steps, a moving average, exact resume.

    Args:
        task: to train.
        optimizer: by which rule.
        steps: of the whole run, for the schedules.
        seed: of what layers draw at random.
    """

    def __init__(self, task: Task, *, optimizer: OptimizerSpec, steps: int, seed: int) -> None:
        super().__init__()
        self.task = task
        self.module = task.module
        self._optimizer = optimizer
        self._steps = steps
        self._seed = seed

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a micro-batch; logs what the module returns, under `train/`."""
        with global_seed(self._seed, Stream.LAYERS, *batch.samples, device=self.device):
            outputs: dict[str, Tensor] = self.module(batch)
        means = {n: v.detach() for n, v in outputs.items() if not n.startswith((SHARE, COUNT))}
        size = len(batch.samples)
        self.log_dict({f"train/{name}": value for name, value in means.items()}, batch_size=size)
        return outputs[LOSS]

    def validation_step(self, batch: int, batch_idx: int) -> None:  # noqa: ARG002
        """Log what the task measures. It shares the work between ranks itself."""
        trainer = self.trainer
        numbers = self.task.evaluate(
            self.module,
            step=self.global_step,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        self.log_dict(numbers, batch_size=1)

    def configure_optimizers(self) -> Optimizer:
        """The rule's optimiser; learning rate and weight decay are set before each step."""
        return optimizer_of(self._optimizer, groups=self.task.parameter_groups())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Set the schedules' values."""
        set_rates(
            optimizer,
            spec=self._optimizer,
            step=self.global_step,
            steps=self._steps,
            rate=self.task.rate,
        )


class TaskData(lightning.LightningDataModule):
    """Batches of a task for each rank; give the Trainer `use_distributed_sampler=False`.

    Args:
        task: that has them.
        start: samples that all ranks together have been fed before.
    """

    def __init__(self, task: Task, *, start: int = 0) -> None:
        super().__init__()
        self._task = task
        self._start = start

    def train_dataloader(self) -> Iterator[Batch]:
        """Endless micro-batches: the Trainer ends by `max_steps`."""
        trainer: Any = self.trainer
        return self._task.batches(
            start=self._start, rank=trainer.global_rank, world=trainer.world_size
        )

    def val_dataloader(self) -> list[int]:
        """One item, for one call of the task's `evaluate`."""
        return [0]
