"""The cases of a labelled set, from patterns, lists and tables."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.files import find_sources
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.known import check_known
from ssl3d.data.labelled.points import Points
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap, Targets, Truth
from ssl3d.data.manifest import described
from ssl3d.data.manifest_table import Row, Table, one_each
from ssl3d.data.source import Source
from ssl3d.data.split import group_of, patients


def find_cases(
    data: LabelledData, *, truth: Truth, folder: Path | None = None
) -> tuple[list[Case], list[list[Row]]]:
    """The cases, sorted by path, and the rows of `data.points` about each; no volume is opened.

    Args:
        data: where they are.
        truth: what must be known of each.
        folder: where `group_by` and `exclude` see paths from; none: as they are given.

    Raises:
        DataError: a table or file cannot be used, or a case lacks what is to be learned.
    """
    table = _manifest(data, truth=truth)
    sources, labels, rows = _files(data, table=table, truth=truth, folder=folder)
    points = None if data.points is None else Points(data, truth=truth)
    finds = [[] for _ in sources] if points is None else points.rows(sources)
    targets: list[tuple[float, ...]] = [()] * len(sources)
    if isinstance(truth, Targets):
        _check_columns(truth, table=table, points=points)
        targets = [
            _targets(truth, table=table, row=row, points=points, finds=own)
            for row, own in zip(rows, finds, strict=True)
        ]
    groups = _groups(data, table=table, rows=rows, sources=sources, folder=folder)
    cases = [
        Case(
            source,
            group=group,
            label=label,
            targets=own,
            stratum=_stratum(data, truth=truth, row=row, targets=own),
            fold=_fold(data, table=table, row=row),
            extra={} if row is None else dict(row.cells),
        )
        for source, label, own, group, row in zip(
            sources, labels, targets, groups, rows, strict=True
        )
    ]
    check_known(cases, truth=truth)
    pairs = sorted(zip(cases, finds, strict=True), key=lambda pair: pair[0].name)
    return [case for case, _ in pairs], [own for _, own in pairs]


def _manifest(data: LabelledData, *, truth: Truth) -> Table | None:
    if data.manifest is None:
        return None
    columns = data.columns
    needed = list(columns.images if data.images is None else columns.images[:1])
    if isinstance(truth, LabelMap) and data.labels is None:
        needed.append(columns.label)
    table = Table(Path(data.manifest).expanduser(), needed=needed, option="data.manifest")
    targets = truth.columns if isinstance(truth, Targets) else ()
    # Those that decide who is tested and what counts; a column Modality is in many tables.
    others = (columns.group, columns.valid, columns.stratum, columns.fold)
    table.check_names([*needed, *targets, *others])
    return table


def _files(
    data: LabelledData, *, table: Table | None, truth: Truth, folder: Path | None
) -> tuple[list[Source], list[Path | None], Sequence[Row | None]]:
    """Images, their label maps, and their rows of the manifest."""
    columns, wanted = data.columns, isinstance(truth, LabelMap)
    if data.images is None:
        assert table is not None
        sources = described(table.sources(columns.images), table=table, columns=columns)
        maps = [table.file(row, columns.label) if wanted else None for row in table.rows]
        return sources, maps, table.rows
    sources = find_sources(data.finding(), folder=folder, option="data")
    labels: list[Path | None] = [None] * len(sources)
    if data.labels is not None:
        labels = [source.files[-1] if wanted else None for source in sources]
        sources = [replace(source, files=source.files[:-1]) for source in sources]
    if table is None:
        return sources, labels, [None] * len(sources)
    rows = one_each(table, table.of(sources, column=columns.images[0]), sources=sources)
    sources = described(sources, table=table, columns=columns, rows=rows)
    if wanted and data.labels is None:
        labels = [table.file(row, columns.label) for row in rows]
    return sources, labels, rows


def _check_columns(truth: Targets, *, table: Table | None, points: Points | None) -> None:
    known = (frozenset() if table is None else table.columns) | (
        frozenset() if points is None else points.columns
    )
    lacking = [column for column in truth.columns if column not in known]
    if lacking:
        raise DataError(
            f"data: no table has the target columns {', '.join(map(repr, lacking))}: there are "
            f"{', '.join(map(repr, sorted(known))) or 'no tables, give data.manifest'}"
        )


def _targets(
    truth: Targets,
    *,
    table: Table | None,
    row: Row | None,
    points: Points | None,
    finds: Sequence[Row],
) -> tuple[float, ...]:
    """Targets of a case; where the manifest says nothing, the largest of its finds."""
    found = [] if points is None else [points.targets(one) for one in finds]
    values = []
    for number, column in enumerate(truth.columns):
        value = math.nan
        if table is not None and row is not None and row[column]:
            try:
                value = truth.read(row[column], where=f"{table.where(row)}, column {column}")
            except ValueError as error:
                raise DataError(str(error)) from error
        if math.isnan(value):
            own = [one[number] for one in found]
            value = max((v for v in own if v is not None and not math.isnan(v)), default=math.nan)
        values.append(value)
    return tuple(values)


def _groups(
    data: LabelledData,
    *,
    table: Table | None,
    rows: Sequence[Row | None],
    sources: Sequence[Source],
    folder: Path | None,
) -> list[str]:
    column = data.columns.group
    known = [row for row in rows if row is not None]
    groups = None if table is None else table.groups(column, rows=known)
    if table is None or groups is None:
        if data.group_by is None and data.group_file is None and not all(patients(sources)):
            warnings.warn(
                f"data: no grouping is given, so each of {len(sources)} cases counts as a person "
                "of its own: where several are of one, give data.group_by, data.group_file or a "
                f"column {column!r} in the manifest",
                DataWarning,
                stacklevel=2,
            )
        return group_of(sources, spec=data.finding(), folder=folder)
    if data.group_by is not None or data.group_file is not None:
        raise table.error(
            f"has a column {column!r}, and data.group_by or data.group_file is given too: give one "
            "of them, or call another column the group by data.columns.group"
        )
    return groups


def _stratum(data: LabelledData, *, truth: Truth, row: Row | None, targets: Sequence[float]) -> str:
    """The manifest's; else the class, or whether there is any find among several columns."""
    if row is not None and row[data.columns.stratum]:
        return row[data.columns.stratum]
    if not isinstance(truth, Targets) or truth.kind == "number":
        return ""
    return f"{targets[0]:g}" if len(targets) == 1 else str(any(value > 0 for value in targets))


def _fold(data: LabelledData, *, table: Table | None, row: Row | None) -> int | None:
    column = data.columns.fold
    if table is None or row is None or column not in table.columns:
        return None
    if not row[column].isdecimal() or int(row[column]) >= data.folds:
        raise DataError(
            f"{table.where(row)}: {column} is {row[column]!r}: give every case one from 0 to "
            f"{data.folds - 1}, for data.folds is {data.folds}"
        )
    return int(row[column])
