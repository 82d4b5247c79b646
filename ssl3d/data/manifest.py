"""The samples that a manifest names, and what it says of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from ssl3d.data.columns import ImageColumns
from ssl3d.data.manifest_table import Row, Table
from ssl3d.data.names import Names
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

PATH = "path"
"""What the column of images may be called too."""

HEAVIEST = 1e9
"""Largest weight: sums of weights stay numbers."""


def manifest_sources(spec: DataSpec) -> list[Source]:
    """A sample for each row of `spec.manifest`.

    Raises:
        DataError: the table cannot be used, or is unclear; names the line.
    """
    assert spec.manifest is not None
    table = Table(Path(spec.manifest).expanduser(), needed=(), option="data.manifest")
    columns = spec.columns
    images = _images(columns, table=table)
    own = [*images, columns.group, columns.modality, columns.valid, columns.weight]
    table.check_names([*own, "visit" if columns.visit is None else columns.visit])
    _check_given_once(table, spec=spec)
    allowed = spec.missing_channels == "allow"
    sources = [_source(table, row, images, allowed=allowed) for row in table.rows]
    _check_each_once(table, sources)
    groups = table.groups(columns.group) or repeat(None, len(table.rows))
    for row in table.rows:
        if columns.visit is not None and not row[columns.visit]:
            raise table.error(f"has no {columns.visit} in {row.place}: give one to every row")
    return [
        replace(
            source,
            group=group,
            visit=(columns.visit and row[columns.visit]) or None,
            weight=_weight(table, row, columns.weight),
        )
        for source, row, group in zip(
            described(sources, table=table, columns=columns), table.rows, groups, strict=True
        )
    ]


def described(
    sources: Sequence[Source],
    *,
    table: Table,
    columns: ImageColumns,
    rows: Sequence[Row] | None = None,
) -> list[Source]:
    """Samples with the modality and the mask that a manifest gives them.

    Args:
        sources: the samples.
        table: the manifest.
        columns: what its columns are called.
        rows: one of each sample; none: those of the table.

    Raises:
        DataError: a mask is not there.
    """
    pairs = zip(sources, table.rows if rows is None else rows, strict=True)
    return [
        replace(
            source,
            modality=row[columns.modality] or None,
            valid=table.file(row, columns.valid) if row[columns.valid] else None,
        )
        for source, row in pairs
    ]


def _images(columns: ImageColumns, *, table: Table) -> tuple[str, ...]:
    """The columns that name files."""
    images = columns.images
    if images == ("image",) and "image" not in table.columns and PATH in table.columns:
        return (PATH,)
    lacking = [column for column in images if column not in table.columns]
    if lacking:
        table.check_names(lacking)
        raise table.error(
            f"has the columns {sorted(table.columns)}: {' and '.join(map(repr, lacking))} "
            "must name files, or others that data.columns.image names"
        )
    return images


def _check_given_once(table: Table, *, spec: DataSpec) -> None:
    for what in ("group", "modality"):
        column = getattr(spec.columns, what)
        options = [f"{what}_by", f"{what}_file"]
        given = [f"data.{name}" for name in options if getattr(spec, name) is not None]
        place = next((row.place for row in table.rows if row[column]), None)
        if given and place is not None:
            raise table.error(
                f"gives a {column} in {place}, and {given[0]} is given too: give one of them, or "
                f"call another column the {what} by data.columns.{what}"
            )


def _source(table: Table, row: Row, images: Sequence[str], *, allowed: bool) -> Source:
    """The files of a row; where it is allowed and there are others, empty cells are channels that
    it lacks.
    """
    lacking = tuple(i for i, column in enumerate(images) if not row[column])
    if not allowed or len(lacking) == len(images):
        lacking = ()
    files = (table.file(row, column) for i, column in enumerate(images) if i not in lacking)
    return Source(tuple(files), lacking=lacking)


def _check_each_once(table: Table, sources: Sequence[Source]) -> None:
    found: dict[Path, Row] = {}
    names = Names()
    for source, row in zip(sources, table.rows, strict=True):
        for file in source.files:
            first = names.first(file)
            if first in found:
                before = found[first]
                there = "" if first == file else f" (there as {str(first)!r})"
                twice = "twice" if before is row else f"in {before.place}{there} and"
                raise table.error(f"names {str(file)!r} {twice} in {row.place}: name it once")
            found[first] = row


def _weight(table: Table, row: Row, column: str) -> float:
    try:
        weight = float(row[column] or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight <= HEAVIEST:
        raise table.error(
            f"gives {row[column]!r} as {column} in {row.place}: give a number above 0, at most "
            f"{HEAVIEST:g}, or nothing"
        )
    return weight
