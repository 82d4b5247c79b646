"""A step of a run that was skipped, taken once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl3d.plugin.spec_file import from_json
from ssl3d.run.replay import Replayed, about_step, replay
from ssl3d.tasks.pretrain.empty_crops import EmptyCrops
from ssl3d.tasks.pretrain.module import PretrainModule
from ssl3d.tasks.pretrain.spec import ExperimentSpec
from ssl3d.tasks.pretrain.task import PretrainTask


def replay_step(path: Path, *, device: str = "cpu") -> Iterator[Replayed]:
    """Take the micro-batches of a captured step, by the spec that was captured with them.

    Args:
        path: of the step's folder, `faults/step-…` of a run.
        device: to compute on; only the one of the run gives the same bits.

    Raises:
        RunError: there is no captured step.
        SpecError: its spec needs a component that is not installed.
    """
    spec = ExperimentSpec(**from_json(about_step(path)["spec"]))
    module = PretrainModule(spec.build(), seed=spec.seed, empty=EmptyCrops())
    yield from replay(module, path=path, batch_types=PretrainTask.batch_types, device=device)
