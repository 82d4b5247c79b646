"""A task of a few parameters: it fits a line to noise that depends on the sample's number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ssl3d.run.fit import fit
from ssl3d.run.optimizer_spec import OptimizerSpec
from ssl3d.run.task import Evaluation, Fitted, Task
from ssl3d.run.trainer_spec import TrainerSpec
from ssl3d.sparse.layers import BatchNorm


class ToyBatch:
    """`x` (B, 2, 2, 2, 2)."""

    def __init__(self, x: Tensor, samples: tuple[int, ...]) -> None:
        self.x = x
        self.samples = samples

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(f"volume-{number}" for number in self.samples)

    def to(self, device: torch.device) -> ToyBatch:
        return ToyBatch(self.x.to(device, non_blocking=True), self.samples)

    def pin_memory(self) -> ToyBatch:
        return ToyBatch(self.x.pin_memory(), self.samples)


class ToyModule(nn.Module):
    """Two layers around a batch norm and dropout."""

    def __init__(self, *, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Conv3d(2, 3, 1)
            self.norm = BatchNorm(3)
            self.last = nn.Linear(3, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, batch: ToyBatch) -> dict[str, Tensor]:
        features = self.norm(self.first(batch.x)).relu().mean((2, 3, 4))
        found = self.last(self.drop(features))[:, 0]
        error = (found - batch.x.sum((1, 2, 3, 4))).square()
        positive = batch.x[:, 0, 0, 0, 0] > 0
        return {
            "loss": error.mean(),
            "fit": error.mean().detach(),
            "positive": error[positive].mean().detach(),
            "share/positive": positive.float().mean(),
            "count/negative": (~positive).sum(),
        }


def noise(number: int) -> Tensor:
    return torch.randn(2, 2, 2, 2, generator=torch.Generator().manual_seed(number))


class Numbers(Dataset[ToyBatch]):
    """The batch that begins with each number."""

    def __init__(self, size: int, bad: frozenset[int]) -> None:
        self.size = size
        self.bad = bad

    def __getitem__(self, start: int) -> ToyBatch:
        numbers = range(start, start + self.size)
        rows = [noise(number) for number in numbers]
        for i, number in enumerate(numbers):
            if number in self.bad:
                rows[i][0, 0, 0, 0] = torch.nan
        return ToyBatch(torch.stack(rows), tuple(numbers))


class Starts(Sampler[int]):
    """Endless first numbers of one rank's batches."""

    def __init__(self, first: int, step: int) -> None:
        self.first, self.step = first, step

    def __iter__(self) -> Iterator[int]:
        number = self.first
        while True:
            yield number
            number += self.step


class Toy(Task):
    """See the module.

    Args:
        size: samples of a micro-batch and rank.
        workers: processes that read.
        bad: samples that are not finite.
    """

    averaged = "first"
    batch_types = (ToyBatch,)

    def __init__(
        self,
        *,
        size: int = 4,
        workers: int = 0,
        bad: Any = (),
        dropout: float = 0.2,
        every: int | None = None,
    ) -> None:
        self.module = ToyModule(dropout=dropout)
        self.size = size
        self.workers = workers
        self.bad = frozenset(bad)
        self.every = every
        self.finished: list[tuple[dict[str, Tensor], Fitted]] = []

    def batches(self, *, start: int, rank: int, world: int) -> Iterator[ToyBatch]:
        return iter(
            DataLoader(
                Numbers(self.size, self.bad),
                batch_size=None,
                sampler=Starts(start + rank * self.size, world * self.size),
                num_workers=self.workers,
                pin_memory=torch.cuda.is_available(),
            )
        )

    def evaluate(self, module: Any, **at: int) -> dict[str, float]:  # noqa: ARG002
        batch = Numbers(4, frozenset())[10**6].to(module.last.weight.device)
        return {"held_out/loss": float(module(batch)["loss"])}

    def size_of_first(self, module: Any, **at: int) -> dict[str, float]:  # noqa: ARG002
        return {"averaged": float(module.weight.abs().sum())}

    def evaluations(self) -> tuple[Evaluation, ...]:
        return (
            Evaluation(self.evaluate, every=self.every),
            Evaluation(self.size_of_first, every=0, averaged=True),
        )

    def finish(self, folder: Path, *, weights: Any, fitted: Fitted) -> None:  # noqa: ARG002
        self.finished.append((weights, fitted))


def run(
    task: Toy,
    folder: Path,
    *,
    optimizer: dict[str, Any] | None = None,
    resume: bool = False,
    began: float | None = None,
    seed: int = 1,
    **trainer: Any,
) -> Fitted:
    """Fit a toy on the CPU."""
    options = {"accelerator": "cpu", "devices": 1, "loggers": (), "log_every": 2, **trainer}
    return fit(
        task,
        trainer=TrainerSpec(**options),
        optimizer=OptimizerSpec(**{"lr": 0.05, **(optimizer or {})}),
        seed=seed,
        folder=folder,
        resume=resume,
        began=began,
    )
