"""All folds of a fine-tuning spec, one after another."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ssl3d.data import DataWarning
from ssl3d.data.labelled.classes import check_targets
from ssl3d.data.labelled.find import find_cases
from ssl3d.data.labelled.split import split_cases
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.measure.tables import folds_table
from ssl3d.run.launch import launched
from ssl3d.run.resume import check_new
from ssl3d.run.run_error import RunError
from ssl3d.tasks.finetune.model_file import WEIGHTS
from ssl3d.tasks.finetune.resolved import Resolved, resolved
from ssl3d.tasks.finetune.result import FinetuneResult
from ssl3d.tasks.finetune.resumable import resumable
from ssl3d.tasks.finetune.run import finetune
from ssl3d.tasks.finetune.spec import FinetuneSpec


@dataclass(frozen=True)
class FoldsResult:
    """What all folds come to.

    Attributes:
        out: folder with a run for each fold, `fold-0` and so on.
        folds: what each came to.
        numbers: name to mean, sd and number of folds; empty where one has not finished.
        exit_code: where it was asked to stop before all folds had finished; else 0.
    """

    out: Path
    folds: tuple[FinetuneResult, ...]
    numbers: Mapping[str, Mapping[str, float]]
    exit_code: int = 0


def finetune_folds(
    spec: FinetuneSpec,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    console: Console | None = None,
) -> FoldsResult:
    """Fine-tune and test on each fold in turn: mean and standard deviation over folds.

    With `resume` folds that have finished are taken as they are, and the others go on or begin.
    `folds.json` in the folder has the numbers.

    Raises:
        RunError: a folder holds another run, or none where one is to be resumed.
        SpecError, DataError: as `finetune`.
    """
    root, found = Path(out), list[FinetuneResult]()
    runs = [RunFolder(root / f"fold-{fold}") for fold in range(spec.data.folds)]
    begun = [run.holds_a_run for run in runs]
    if resume and not any(begun):
        raise RunError(f"out: {root} holds no folds to resume: start them without --resume")
    for folder in (RunFolder(root), *(() if resume else runs)):
        check_new(folder)
    made = resolved(spec)
    if not resume:
        _check_all(made)
    fabric = launched(made.trainer)  # all folds by the same ranks
    console = (console or Console()) if fabric.global_rank == 0 else Console(quiet=True)
    for fold, run in enumerate(runs):
        one = spec.replace(data=spec.data.model_copy(update={"fold": fold}))
        result = _finished(run, spec=one) if begun[fold] else None
        if result is None:
            result = finetune(one, out=run.root, resume=begun[fold], console=console, fabric=fabric)
        else:
            console.print(f"Fold {fold} has finished: taken as it is")
        found.append(result)
        if not result.finished:
            return FoldsResult(root, tuple(found), {}, exit_code=result.exit_code)
        if result.asked and run is not runs[-1]:
            console.print(f"Fold {fold} has finished, the next was not begun. Go on with --resume")
            # Launchers end all ranks where one ends first with another code than 0.
            code = result.asked if fabric.global_rank == 0 else 0
            return FoldsResult(root, tuple(found), {}, exit_code=code)
    numbers = folds_table([one.numbers for one in found])
    if fabric.global_rank == 0:
        write_json(root / "folds.json", {"folds": len(found), "numbers": _plain(numbers)})
    table = Table(title=f"{len(found)} folds")
    for column in ("number", "mean", "sd"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for name, over in numbers.items():
        table.add_row(name, f"{over['mean']:.4f}", f"{over['sd']:.4f}")
    console.print(table)
    return FoldsResult(root, tuple(found), numbers)


def _check_all(made: Resolved) -> None:
    """Each fold can be tested and learned for, before the first is begun.

    Raises:
        DataError: says what the first that cannot lacks.
    """
    spec = made.spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # each fold says its own
        cases, _ = find_cases(spec.data, truth=made.truth)
        for fold in range(spec.data.folds):
            sides = split_cases(
                cases,
                data=spec.data.model_copy(update={"fold": fold}),
                choosing=spec.select == "best",
                subset_seed=spec.subset_seed,
            )
            check_targets(sides, truth=made.truth)


def _finished(folder: RunFolder, *, spec: FinetuneSpec) -> FinetuneResult | None:
    """What a fold came to; None where it has not finished.

    Raises:
        RunError: it was another experiment.
    """
    resumable(folder, spec)
    if not folder.summary.exists():
        return None
    facts = json.loads(folder.summary.read_text(encoding="utf-8"))
    numbers = {n: math.nan if value is None else value for n, value in facts["numbers"].items()}
    return FinetuneResult(
        folder.root,
        step=facts["steps"],
        finished=True,
        ended="finished",
        exit_code=0,
        model=folder.root / WEIGHTS,
        step_of_model=facts["step_of_model"],
        primary=facts["primary"],
        numbers=numbers,
    )


def _plain(
    numbers: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN."""
    return {
        name: {one: None if math.isnan(value) else value for one, value in over.items()}
        for name, over in numbers.items()
    }
