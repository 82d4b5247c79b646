"""What a task is to the loop: a module to train, batches for it, and what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from ssl3d.run.optimizer import parameter_groups
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.schedule import learning_rate

LOSS = "loss"
"""What a module's answer must hold: the scalar to minimise."""

SHARE = "share"
"""In a module's answer: the share, 0 to 1, by which a micro-batch counts in means. `share/mse` is
for `mse` and all `mse/...`, `share` for the rest. Without it a micro-batch counts whole."""

COUNT = "count/"
"""In a module's answer: begins the name of what is added up in a row, and left out where it is 0.
"""


class Batch(Protocol):
    """Samples of one micro-batch and rank. Plain classes serve; frozen dataclasses break Fabric."""

    @property
    def samples(self) -> Sequence[int]:
        """Number of each sample: what a step draws at random depends on these and the seed."""

    @property
    def sources(self) -> Sequence[str]:
        """Where each sample came from, for messages."""

    def to(self, device: torch.device) -> Self:
        """The same on another device, without waiting."""


class Measure(Protocol):
    """Numbers of a module. Each rank calls it; those that rank 0 returns count."""

    def __call__(
        self, module: nn.Module, *, step: int, rank: int, world: int
    ) -> dict[str, float]: ...


@dataclass(frozen=True)
class Evaluation:
    """Something measured before the first step, every few steps, and after the last one.

    Attributes:
        measure: called in evaluation mode, without gradients, in full precision.
        every: steps; 0: before the first and after the last step alone; None: as
            `trainer.validate_every` says.
        averaged: True where it is given the sub-module that is averaged: its average where
            `optimizer.ema` keeps one. Otherwise it is given the whole module.
    """

    measure: Measure
    every: int | None = None
    averaged: bool = False

    def is_due(self, step: int, *, steps: int, otherwise: int) -> bool:
        """True where it is due after `step` of `steps`."""
        every = otherwise if self.every is None else self.every
        return step in (0, steps) or (every > 0 and step % every == 0)


@dataclass(frozen=True)
class Fitted:
    """How training ended.

    Attributes:
        step: optimiser steps taken, skipped ones and those before a resume among them.
        samples: fed over all ranks.
        seconds: of training, without measuring and saving.
        ended: `finished` after the last step; `early` where `trainer.best` says so; `hours` after
            `trainer.max_hours`; `asked` by a signal.
        exit_code: for the program: on rank 0 that of the signal, 85 after `trainer.max_hours`;
            else 0.
        checkpoint: of the last step.
        asked: exit code of a signal that came at any time, while the task finished too; 0 where
            none did. All ranks have the same.
    """

    step: int
    samples: int
    seconds: float
    ended: Literal["finished", "early", "hours", "asked"]
    exit_code: int
    checkpoint: Path
    asked: int = 0

    @property
    def finished(self) -> bool:
        """True where there is nothing left to train."""
        return self.ended in ("finished", "early")


class Task(Protocol):
    """What `fit` trains. Derive from it for its defaults.

    `module(batch)` is the whole step and the only call in training. It returns a dict of scalars
    with `loss`, the same names every time; see `SHARE` and `COUNT` for those that mean more. What
    it draws at random depends on the seed and `batch.samples` alone; torch's global generators are
    seeded so before each call, for layers such as dropout.

    Attributes:
        module: to train.
        averaged: name of the sub-module that `optimizer.ema` averages; empty: the whole.
        shown: column of the metrics that progress shows beside the loss; empty: none.
        batch_types: classes that a batch is made of besides tensors and plain values: what
            `replay` may read of a captured one.
    """

    module: nn.Module
    averaged: str = ""
    shown: str = ""
    batch_types: tuple[type, ...] = ()

    def begin(self, *, step: int) -> None:
        """Write what says that the folder holds a run; rank 0 alone calls it, when all is ready.

        Args:
            step: that the run goes on from, 0 for a new one.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser. `decays` says whether weight decay shrinks a group, `lr_scale`
        (optional) what its learning rate is multiplied with.
        """
        return parameter_groups(self.module)

    def rate(
        self, group: Mapping[str, Any], *, optimizer: OptimizerSpec, step: int, steps: int
    ) -> float:
        """The learning rate of a group of parameters in step `step` (from 0) of `steps`."""
        scale: float = group.get("lr_scale", 1.0)
        return learning_rate(optimizer, step=step, steps=steps) * scale

    def batches(self, *, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Endless micro-batches of one rank, in pinned memory where there is a GPU.

        Args:
            start: samples that all ranks together have been fed before.
            rank: this rank, from 0.
            world: number of ranks; each feeds as many samples.
        """
        ...

    def evaluate(self, module: nn.Module, *, step: int, rank: int, world: int) -> dict[str, float]:
        """Measure the module on what is held out; names as they stand in `metrics.csv`."""
        ...

    def evaluations(self) -> Sequence[Evaluation]:
        """What is measured, in this order."""
        return (Evaluation(self.evaluate),)

    def remarks(self, columns: Mapping[str, float]) -> Iterable[str]:  # noqa: ARG002
        """What the user should know of the columns that a step adds to the metrics."""
        return ()

    def finish(self, folder: Path, *, weights: Mapping[str, Tensor], fitted: Fitted) -> None:
        """Write what the run leaves. `module` is as the last step left it.

        Every rank calls it, for what takes long is shared (`ssl3d.run.ranks`): ranks that wait for
        one another are ended after half an hour. Rank 0 alone writes.

        Args:
            folder: of the run.
            weights: state dict of the averaged sub-module: its average where there is one. Rank
                0's are the result: buffers may differ.
            fitted: how training ended.
        """

    def compile(self) -> None:
        """Compile in place what can be: called before distribution where `trainer.compile`."""
        self.module.compile()

    def not_static(self) -> str | None:
        """Why batches have no one shape, which `trainer.cuda_graph` needs; None where they have.

        A module whose batches have one must do on the device alone what a step does.
        """
        return "this task does not say that its batches have one shape"

    def checkpoint_activations(self) -> None:
        """Have activations computed again in the backward pass: `trainer.checkpoint_activations`.

        Raises:
            ValueError: the task cannot do so.
        """
        raise ValueError("trainer.checkpoint_activations: this task cannot do so: set it to false")
