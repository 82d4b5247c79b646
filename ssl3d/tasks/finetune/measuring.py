"""How often a run is measured, and what that costs beside training: in windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.fixed_crops import tiles
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.read import target_grid
from ssl3d.geometry import Triple
from ssl3d.tasks.finetune.resolved import Resolved
from ssl3d.tasks.finetune.sliding import window_corners


def measuring_in_words(made: Resolved, *, volumes: LabelledVolumes) -> Iterator[tuple[str, str]]:
    """(what, words) of measuring on the way and of the test, for the sizes that headers say.

    Args:
        made: the run.
        volumes: of it, found.
    """
    steps, every = made.trainer.steps, made.trainer.validate_every
    data = made.spec.data
    learned = steps * made.trainer.accumulate * data.batch_size * data.crops
    name = "windows" if made.spec.task.per == "voxel" else "crops"
    yield "training crops", f"{learned:,} a rank, in {steps:,} steps"
    choosing, testing = (
        sum(_windows(case, made=made, volumes=volumes) for case in cases)
        for cases in (volumes.sides.choosing, volumes.sides.testing)
    )
    if volumes.sides.choosing:
        times = len({0, *range(every, steps + 1, every), steps})
        yield (
            "measuring",
            f"{times} times (first, last, every {every:,} steps), {choosing:,} {name} each: "
            f"{times * choosing:,}",
        )
    yield "test", f"once, {testing:,} {name}"


def _windows(case: Case, *, made: Resolved, volumes: LabelledVolumes) -> int:
    """Forward passes of one row that a case takes to measure."""
    x, y, z = target_grid(case.source, spacing=volumes.preparation.spacing).shape
    size: Triple = (z, y, x)
    windows, count = made.spec.windows, made.spec.data.evaluation_crops
    mirrored = 1 << len(windows.mirror)  # in all combinations of its axes
    if made.spec.task.per == "case":
        return mirrored * (count if isinstance(count, int) else len(tiles(size, made.patch)))
    return mirrored * len(_corners(size, made.patch, overlap=windows.overlap))


def _corners(size: Triple, patch: Triple, *, overlap: float) -> Sequence[Triple]:
    """Windows of a volume, which is padded to one where it is smaller."""
    z, y, x = (max(edge, p) for edge, p in zip(size, patch, strict=True))
    return window_corners((z, y, x), patch=patch, overlap=overlap)
