"""Whether the steps of a run are launched as CUDA graphs."""

from __future__ import annotations

from lightning.fabric import Fabric

from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import TrainerSpec


def why_not_graphed(trainer: TrainerSpec, *, fabric: Fabric, not_static: str | None) -> str | None:
    """Why steps cannot be CUDA graphs; None where they can.

    Args:
        trainer: how.
        fabric: launched.
        not_static: of the task.
    """
    if fabric.device.type != "cuda":
        return "there is no CUDA here"
    if fabric.world_size > 1:
        return f"{fabric.world_size} ranks train together, and a graph is of one device"
    if trainer.not_graphed:
        return f"{trainer.not_graphed[0]} is {getattr(trainer, trainer.not_graphed[0])}"
    return not_static


def graphed(trainer: TrainerSpec, *, fabric: Fabric, not_static: str | None) -> bool:
    """Whether steps are launched as CUDA graphs; see `why_not_graphed`.

    Raises:
        RunError: they must be, and cannot.
    """
    if trainer.cuda_graph is False:
        return False
    why = why_not_graphed(trainer, fabric=fabric, not_static=not_static)
    if why is not None and trainer.cuda_graph is True:
        raise RunError(f"trainer.cuda_graph: {why}: set it to auto or false")
    return why is None
