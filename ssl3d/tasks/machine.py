"""What a run decides on the machine that it starts on: said, and in its environment file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lightning.fabric import Fabric

from ssl3d.data.workers import workers_of
from ssl3d.run.graphed import graphed, why_not_graphed
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
        graph: whether steps are launched as CUDA graphs where batches have one shape.
        words: said at the start.
    """

    trainer: TrainerSpec
    workers: int
    graph: bool
    words: str

    @property
    def entry(self) -> dict[str, Any]:
        """For `environment.json`."""
        return {
            "precision": self.trainer.precision,
            "tf32": self.trainer.tf32,
            "workers": self.workers,
            "cuda_graph": self.graph,
        }


def decided(
    trainer: TrainerSpec,
    *,
    asked: str,
    workers: int | Literal["auto"],
    batch: int,
    not_static: str | None,
    fabric: Fabric,
) -> Machine:
    """Decide what is left open. All ranks must call it.

    Args:
        trainer: with precision and TF32, see `with_precision`.
        asked: the precision that the spec asks for.
        workers: the reading processes that it asks for.
        batch: bytes of a micro-batch.
        not_static: why its shapes change, see `Task.not_static`.
        fabric: launched.
    """
    gpu = fabric.device.type == "cuda"
    number = workers_of(workers, ranks=ranks_here(), gpu=gpu, batch=batch)
    readers = f"{number} reading process{'' if number == 1 else 'es'} a rank"
    readers += " (auto)" if workers == "auto" else ""
    graph = graphed(trainer, fabric=fabric, not_static=not_static)
    words = [in_words(trainer, device=fabric.device, asked=asked)]
    if gpu:
        words.append(_graph_in_words(trainer, fabric=fabric, not_static=not_static))
    return Machine(trainer, number, graph, ", ".join([*words, readers]))


def _graph_in_words(trainer: TrainerSpec, *, fabric: Fabric, not_static: str | None) -> str:
    auto = " (auto)" if trainer.cuda_graph == "auto" else ""
    why = why_not_graphed(trainer, fabric=fabric, not_static=not_static)
    if trainer.cuda_graph is False:
        return "no CUDA graphs"
    return f"steps are CUDA graphs{auto}" if why is None else f"no CUDA graphs{auto}: {why}"


def machine_remarks(trainer: TrainerSpec, *, fabric: Fabric) -> Iterator[str]:
    """What the user should know of it."""
    slow = slow_torch()
    if slow is not None and fabric.device.type == "cuda" and trainer.precision in HALVES:
        yield slow
