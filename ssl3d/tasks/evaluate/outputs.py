"""Predicted outputs of cases against a table of targets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.group_file import names_of
from ssl3d.data.labelled.truth import Targets
from ssl3d.data.manifest_table import Row as Line
from ssl3d.data.manifest_table import Table
from ssl3d.data.source import Source
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.task import Row
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.plugin.registry import installed
from ssl3d.tasks.evaluate.pairs import GROUP, SHOWN
from ssl3d.tasks.evaluate.result import Evaluated, check_out, evaluated
from ssl3d.tasks.finetune.resolved import truth_of
from ssl3d.tasks.predict.outputs import TABLE, as_numbers, read_outputs
from ssl3d.tasks.predict.record import RECORD, read_record

PathLike = str | os.PathLike[str]
IMAGE = "image"


def evaluate_outputs(
    predictions: PathLike,
    table: PathLike,
    *,
    out: PathLike | None = None,
    allow_missing: bool = False,
    console: Console | None = None,
) -> Evaluated:
    """The numbers of the task, of what `predict` said of cases.

    Args:
        predictions: folder of `predict`, with `predictions.csv`.
        table: CSV, TSV or JSON with a row for each case: `image`, by the end of its path, the
            columns of the task, and `group` where there is one.
        out: folder for the numbers; None: nothing is written.
        allow_missing: True leaves out rows that name no predicted case, and says how many.
        console: where the numbers are printed; the terminal by default.

    Raises:
        ValueError: there are no predictions, or a case has no row, or two.
    """
    folder, console = Path(predictions), console or Console()
    check_out(out, given=table)
    record = read_record(folder)
    if record is None:
        raise DataError(f"{folder} holds no {RECORD}: give a folder of `ssl3d predict`")
    rows, outputs = read_outputs(folder / TABLE)
    numbers = as_numbers(rows, path=folder / TABLE)
    config, backbone = (
        installed().config(kind, name=record[kind]["name"]).model_validate(record[kind])
        for kind in ("task", "backbone")
    )
    assert isinstance(config, TaskConfig)
    assert isinstance(backbone, BackboneConfig)
    if outputs != config.outputs():
        raise DataError(
            f"{folder / TABLE} has the columns {', '.join(outputs)}, but the task gives "
            f"{', '.join(config.outputs())}"
        )
    truth = truth_of(config)
    assert isinstance(truth, Targets)
    task = config.build(stages=backbone.stages())
    lines = Table(Path(table), needed=(IMAGE, *truth.columns), option="evaluate")
    lines.check_names((IMAGE, *truth.columns, GROUP))
    named = {case: Source(tuple(Path(file) for file in record["cases"][case])) for case in numbers}
    matched, missing = _matched(lines, named)
    if missing and not allow_missing:
        raise DataError(
            f"{table}: {len(missing)} of {len(lines.rows)} rows name no case that was predicted, "
            f"such as {', '.join(missing[:SHOWN])}: predict them, or leave them out by "
            "--allow-missing (allow_missing=True)"
        )
    if missing:
        text = f"Left out: {len(missing)} rows without a prediction, such as {missing[0]}"
        console.print(shown(text), style="yellow", markup=False, soft_wrap=True)
    found: dict[str, Row] = {}
    for case, line in matched.items():
        targets = torch.tensor(_targets(line, truth=truth, table=lines))
        outputs_of = torch.tensor(numbers[case])
        found[case] = task.row(outputs_of, truth=targets, spacing=(1.0, 1.0, 1.0))
    return evaluated(
        found,
        groups=lines.groups(GROUP, rows=list(matched.values())),
        summary=task.summary,
        badness=task.badness,
        facts={"primary": config.primary, "task": record["task"], "left_out": missing},
        out=out,
        console=console,
    )


def _matched(table: Table, cases: dict[str, Source]) -> tuple[dict[str, Line], list[str]]:
    """(case to its row, in the order of the cases; names in the table that are no case)."""
    known: dict[str, set[str]] = {}
    for case, source in cases.items():
        for name in names_of(source):
            known.setdefault(name, set()).add(case)
    found: dict[str, Line] = {}
    missing = []
    for row in table.rows:
        own = known.get(Path(row[IMAGE]).as_posix() if row[IMAGE] else "", set())
        if len(own) > 1:
            raise table.error(
                f"names {row[IMAGE]!r} in {row.place}, which {len(own)} cases are called: write "
                "the folder too (folder/name)"
            )
        if not own:
            missing.append(row[IMAGE] or row.place)
            continue
        case = next(iter(own))
        if case in found:
            raise table.error(f"has {case} in {found[case].place} and {row.place}: name it once")
        found[case] = row
    without = [case for case in cases if case not in found]
    if without:
        raise table.error(
            f"has no row for {len(without)} of {len(cases)} predicted cases, such as "
            f"{', '.join(without[:SHOWN])}: add them"
        )
    return {case: found[case] for case in cases}, missing


def _targets(line: Line, *, truth: Targets, table: Table) -> Sequence[float]:
    """Of each column; NaN where the cell is empty."""
    return [
        truth.read(line[column], where=f"{table.where(line)}, column {column}")
        if line[column]
        else float("nan")
        for column in truth.columns
    ]
