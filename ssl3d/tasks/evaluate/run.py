"""A fine-tuned model on labelled volumes: those that its run kept apart, or others."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from ssl3d.data.data_error import DataError, DataWarning, shown
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.labelled.resumed import check_unchanged, table_digests
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.listing import Listing
from ssl3d.folder import RunFolder
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.run.evaluating import evaluating
from ssl3d.tasks.device import device_of
from ssl3d.tasks.evaluate.result import Evaluated, check_out, evaluated
from ssl3d.tasks.finetune.cases import TABLES
from ssl3d.tasks.finetune.measure import measure
from ssl3d.tasks.finetune.model_file import Tuned, load_model
from ssl3d.tasks.finetune.resolved import truth_of
from ssl3d.tasks.finetune.resumable import spec_of
from ssl3d.tasks.finetune.window_spec import WindowSpec
from ssl3d.tasks.finetune.windows_on import windows_on
from ssl3d.tasks.predict.runs import unfinished

PathLike = str | os.PathLike[str]
Side = Literal["testing", "choosing", "training", "unused"]

PREPARED = ("spacing", "normalise", "foreground", "modality")
"""Of labelled volumes: how they are prepared, which a model that is measured knows itself."""


def evaluate_run(
    run: PathLike,
    *,
    data: LabelledData | None = None,
    side: Side = "testing",
    out: PathLike | None = None,
    windows: WindowSpec | None = None,
    device: str | None = None,
    console: Console | None = None,
) -> Evaluated:
    """Predict labelled cases by a run's model, and measure it as the run measures its test cases.

    Label maps are compared on the grid that volumes are prepared on; for numbers on the grid of the
    files use `predict` and `evaluate_maps`.

    Args:
        run: folder of `finetune`.
        data: other labelled volumes, all of which are tested on; none: those of the run.
        side: which of the run's own.
        out: folder for the numbers; None: nothing is written.
        windows: how volumes are predicted; none: as the run's spec says.
        device: such as "cpu" or "cuda"; none: a GPU where there is one.
        console: where the numbers are printed; the terminal by default.

    Raises:
        ValueError: the folder is no run that has ended, its cases are not those of before, or the
            volumes cannot be used.
    """
    console = console or Console()
    check_out(out)
    tuned, spec = load_model(Path(run)), spec_of(RunFolder(run))
    remark = unfinished(Path(run), tuned.description)
    if remark is not None:
        console.print(remark, style="yellow", markup=False, highlight=False, soft_wrap=True)
    volumes = _volumes(tuned, RunFolder(run), data=data, side=side, console=console)
    batches = LabelledBatches(volumes, patch=tuned.patch, augment=AugmentSpec(), seed=0)
    model = tuned.model.to(device_of(device))
    asked = spec.windows if windows is None else windows
    if asked.precision == "auto":
        asked = asked.model_copy(update={"precision": spec.windows.precision})
    asked, remark = windows_on(next(model.parameters()).device, windows=asked)
    if remark is not None:
        console.print(remark, style="yellow", markup=False, soft_wrap=True)
    with evaluating(model):
        found = measure(
            model,
            batches=batches,
            side="testing",
            patch=tuned.patch,
            windows=asked,
        )
    for name, problem in volumes.bad_files().items():
        text = f"Went without {problem if name in problem else f'{name}: {problem}'}"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    task = model.task
    return evaluated(
        found.rows,
        groups=found.groups,
        summary=task.summary,
        badness=task.badness,
        facts={
            "primary": spec.task.primary,
            "run": shown(Path(run)),
            "side": side if data is None else "other volumes",
            **tuned.description["trained"],
        },
        out=out,
        console=console,
    )


def _volumes(
    tuned: Tuned, folder: RunFolder, *, data: LabelledData | None, side: Side, console: Console
) -> LabelledVolumes:
    """The cases, all of them on the side that is tested on."""
    spec, config = spec_of(folder), tuned.model.task.config
    assert isinstance(config, TaskConfig)
    if data is not None and data.channels != tuned.channels:
        raise DataError(
            f"data: the model has the channels {', '.join(tuned.channels)}, and the volumes "
            f"{', '.join(data.channels)}: name them alike"
        )
    before, tables = (None, {}) if data is not None else _before(folder)
    idle = [f"data.{name}" for name in PREPARED if getattr(data, name, None) is not None]
    if idle:
        text = f"Not looked at: {', '.join(idle)}. Volumes are prepared as the model's were"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    given = data or spec.data
    how = ("cache", "workers", "on_bad_file", "max_bad_share")
    volumes = LabelledVolumes(
        given,
        truth=truth_of(config),
        preparation=tuned.preparation.model_copy(update={n: getattr(given, n) for n in how}),
        choosing=spec.select == "best",
        subset_seed=spec.subset_seed,
        only_tested=data is not None,
        folder=None if before is None else Path(before.folder),
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DataWarning)
        volumes.find()
        if before is not None:
            now = table_digests(volumes.data)
            check_unchanged(before, volumes.listing, tables_before=tables, tables_now=now)
            cases = getattr(volumes.sides, side)
            if not cases:
                raise DataError(f"{folder.root}: there are no cases on the side {side!r}")
            volumes.sides = replace(volumes.sides, training=(), choosing=(), testing=cases)
        volumes.read_fixed()
    for warning in said:
        console.print(str(warning.message), style="yellow", markup=False, soft_wrap=True)
    return volumes


def _before(folder: RunFolder) -> tuple[Listing, dict[str, str]]:
    """The cases that a run was begun with, and the digests of its tables."""
    try:
        tables = json.loads((folder.root / TABLES).read_text(encoding="utf-8"))
        return Listing.read(folder.data), tables
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder.root}: which cases the run was tested on cannot be read: {error}. Give the "
            "volumes by --data (data=...)"
        ) from error
