"""What a run decides on the machine that it starts on: said, and in its environment file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lightning.fabric import Fabric

from ssl3d.data.workers import workers_of
from ssl3d.run.precision import HALVES, in_words
from ssl3d.run.ranks import ranks_here
from ssl3d.run.slow_torch import slow_torch
from ssl3d.run.trainer_spec import TrainerSpec


@dataclass(frozen=True)
class Machine:
    """What was decided.

    Attributes:
        trainer: with precision and TF32.
        workers: reading processes of each rank.
        words: said at the start.
    """

    trainer: TrainerSpec
    workers: int
    words: str

    @property
    def entry(self) -> dict[str, Any]:
        """For `environment.json`."""
        return {
            "precision": self.trainer.precision,
            "tf32": self.trainer.tf32,
            "workers": self.workers,
        }


def decided(
    trainer: TrainerSpec,
    *,
    asked: str,
    workers: int | Literal["auto"],
    batch: int,
    fabric: Fabric,
) -> Machine:
    """Decide what is left open. All ranks must call it.

    Args:
        trainer: with precision and TF32, see `with_precision`.
        asked: the precision that the spec asks for.
        workers: the reading processes that it asks for.
        batch: bytes of a micro-batch.
        fabric: launched.
    """
    gpu = fabric.device.type == "cuda"
    number = workers_of(workers, ranks=ranks_here(), gpu=gpu, batch=batch)
    readers = f"{number} reading process{'' if number == 1 else 'es'} a rank"
    readers += " (auto)" if workers == "auto" else ""
    words = f"{in_words(trainer, device=fabric.device, asked=asked)}, {readers}"
    return Machine(trainer, number, words)


def machine_remarks(trainer: TrainerSpec, *, fabric: Fabric) -> Iterator[str]:
    """What the user should know of it."""
    slow = slow_torch()
    if slow is not None and fabric.device.type == "cuda" and trainer.precision in HALVES:
        yield slow
