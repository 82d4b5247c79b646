"""`probe`: an encoder beside networks of its kind that were never trained."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.labelled.preparation import preparation
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple, divides, show
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.measure.probe.neighbours import NEIGHBOURS, ROWS, VOXELS
from ssl3d.run.precision import tf32
from ssl3d.streams import weights_seed
from ssl3d.tasks.device import device_of
from ssl3d.tasks.encoder import behind, describe_encoder, encoder_config, load_encoder
from ssl3d.tasks.finetune.resolved import truth_of
from ssl3d.tasks.labelled_spec import LabelledSpec
from ssl3d.tasks.predict.progress import CaseProgress
from ssl3d.tasks.probe.cases import FIT_SITES, Probed, ProbedCases, ProbedMaps
from ssl3d.tasks.probe.result import RANDOM, TRAINED, Line, ProbeResult, print_probe, write_probe

PathLike = str | os.PathLike[str]
SITES = 4096


def probe(
    encoder: PathLike,
    spec: LabelledSpec,
    *,
    out: PathLike | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    neighbours: int = NEIGHBOURS,
    sites: int = SITES,
    device: str | None = None,
    console: Console | None = None,
) -> ProbeResult:
    """Linear and nearest-neighbour classification on frozen features.

    Beside the encoder stand networks of its kind with random weights, one for each seed. Cases are
    split as fine-tuning splits them: fitted is on the training cases of `data.fold`. Where
    `data.subjects` asks for some, each seed draws others, for both alike. Label maps are read off
    a crop of each case, centred on what is labelled; classes of cases off the mean features of its
    crops.

    Args:
        encoder: a run's folder, or an exported encoder.
        spec: what is labelled; the task is one on labels of voxels or on classes of cases.
        out: folder for `probe.json` and `probe.csv`; None: nothing is written.
        seeds: of random weights and subsets.
        neighbours: that vote.
        sites: of each crop to fit on, for label maps.
        device: such as "cpu" or "cuda"; none: a GPU where there is one.
        console: where the table is printed; the terminal by default.

    Raises:
        ValueError: there is no encoder, the task cannot be probed, or the volumes do not fit.
    """
    console, task = console or Console(), _task(spec)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {list(seeds)}: give at least one, each once")
    where, trained = device_of(device), load_encoder(encoder)
    how, patch = _preparation(encoder, spec, trained=trained, console=console)
    trained.to(where)
    varies = spec.data.subjects is not None
    lines: list[Line] = []
    cases: Probed | None = None
    once: dict[str, dict[str, float]] | None = None
    progress = CaseProgress(console, cases=len(seeds), what="seed")
    with progress.shown(), tf32(False, device=where):
        for seed in seeds:
            if cases is None or varies:
                cases = _cases(spec, task, how, patch=patch, sites=sites, seed=seed, say=console)
            if once is None or varies:
                once = cases.measure(trained, neighbours=neighbours)
            with weights_seed(seed):
                network = encoder_config(encoder).build(in_channels=trained.in_channels or 1)
            found = cases.measure(network.eval().to(where), neighbours=neighbours)
            for name, numbers in ((TRAINED, once), (RANDOM, found)):
                lines += [
                    Line(name, m, seed, n, v) for m, o in numbers.items() for n, v in o.items()
                ]
            progress.case(f"seed {seed}")
    result = ProbeResult(tuple(lines), None if out is None else Path(out))
    facts = {
        "encoder": os.fspath(encoder),
        "task": task.name,
        "seeds": list(seeds),
        "fold": spec.data.fold,
        "subjects": spec.data.subjects,
        "neighbours": neighbours,
        "patch": list(patch),
    }
    if task.per == "voxel":
        facts |= {"sites": sites, "fit_sites": FIT_SITES, "among": ROWS, "voxels": VOXELS}
        console.print(
            f"Fitted on at most {FIT_SITES:,} sites of the training crops. Neighbours are sought "
            f"among {ROWS:,} of them, for at most {VOXELS:,} voxels of the test crops",
            highlight=False,
        )
    write_probe(result, facts=facts)
    print_probe(result, console=console)
    return result


def _task(spec: LabelledSpec) -> TaskConfig:
    """The task, where a probe can be made of it."""
    task = spec.task
    if task is None:
        raise DataError("the spec names no task: give task, as in a fine-tuning spec")
    if not (task.legend() if task.per == "voxel" else task.targets == "class"):
        raise DataError(
            f"the task {task.name} has neither labels of voxels nor classes of cases: probes are "
            "for these alone"
        )
    return task


def _preparation(
    encoder: PathLike, spec: LabelledSpec, *, trained: Backbone, console: Console
) -> tuple[DataSpec, Triple]:
    """How volumes are prepared, and the size of crops."""
    description = describe_encoder(encoder)
    channels = description["in_channels"]
    if channels != len(spec.data.channels):
        raise DataError(
            f"data: {len(spec.data.channels)} channels ({', '.join(spec.data.channels)}), but the "
            f"encoder has {channels}: give a file for each"
        )
    inputs = description.get("input") or {}
    was = spec.patch or inputs.get("patch")
    if was is None:
        raise DataError(f"{encoder} does not say which patch it was trained on: give patch")
    z, y, x = (was, was, was) if isinstance(was, int) else was
    if not divides(trained.divisor, (z, y, x)):
        raise DataError(
            f"patch: {show((z, y, x))} voxels; must be a multiple of {show(trained.divisor)}"
        )
    how, remarks = preparation(spec.data, patch=(z, y, x), encoder=inputs)
    later = behind(encoder)
    for remark in (*remarks, *([later] if later else [])):
        console.print(remark, style="yellow", markup=False, soft_wrap=True)
    return how, (z, y, x)


def _cases(
    spec: LabelledSpec,
    task: TaskConfig,
    how: DataSpec,
    *,
    patch: Triple,
    sites: int,
    seed: int,
    say: Console,
) -> Probed:
    """The cases, found, split and read."""
    volumes = LabelledVolumes(spec.data, truth=truth_of(task), preparation=how, subset_seed=seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        volumes.find()
        volumes.read_fixed()
    for warning in said:
        say.print(str(warning.message), style="yellow", markup=False, soft_wrap=True)
    if task.per == "voxel":
        return ProbedMaps(volumes, task=task, patch=patch, sites=sites)
    return ProbedCases(volumes, task=task, patch=patch)
