"""The rows of a manifest, CSV or JSON, and the images that they are about."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ssl3d.data.data_error import DataError
from ssl3d.data.group_file import names_of
from ssl3d.data.names import Names
from ssl3d.data.notes import Notes
from ssl3d.data.source import Source
from ssl3d.data.table import NOTHING, Problem, csv_rows, plain_text, read_text
from ssl3d.data.volume_path import one_volume


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: by column; "" where there is nothing.
        place: such as "line 2".
    """

    cells: Mapping[str, str]
    place: str

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


class Table:
    """A table that a user wrote.

    Args:
        path: CSV, TSV or, with any other ending, JSON.
        needed: columns that must be there.
        option: what the spec calls it.

    Raises:
        DataError: it cannot be read, has no rows, or lacks a column.
    """

    def __init__(self, path: Path, *, needed: Collection[str], option: str) -> None:
        self.path = path
        self._option = option
        text = read_text(path, problem=self.error)
        if path.suffix.lower() in (".csv", ".tsv"):
            rows = csv_rows(text, needed=needed, problem=self.error)
        else:
            rows = _json_rows(text, needed=needed, problem=self.error)
        self.rows = [
            Row({name: cell_text(value) for name, value in cells.items()}, place)
            for cells, place in rows
        ]
        if not self.rows:
            raise self.error("has no rows")
        self.columns = frozenset(name for row in self.rows for name in row.cells)

    def error(self, problem: str) -> DataError:
        """An error about this file."""
        return DataError(f"{self._option}: {str(self.path)!r} {problem}")

    def where(self, row: Row) -> str:
        """Words for a row."""
        return f"{self._option}: {self.path.name}, {row.place}"

    def check_names(self, known: Collection[str]) -> None:
        """Refuse a column that nobody reads where it is nearly one that is read.

        Raises:
            DataError: there is such a column.
        """
        absent = [name for name in known if name not in self.columns]
        for column in sorted(self.columns - set(known)):
            first = column[:1].lower()  # "old" is not nearly "fold"
            alike = [name for name in absent if name[:1].lower() == first]
            close = difflib.get_close_matches(column.lower(), alike, n=1, cutoff=0.75)
            if close and abs(len(close[0]) - len(column)) < 2:
                raise self.error(
                    f"has a column {column!r} and no {close[0]!r}: call it {close[0]!r} if that is "
                    "meant, else something else; further columns are free"
                )

    def groups(self, column: str, *, rows: Sequence[Row] | None = None) -> list[str] | None:
        """Whom some rows (none: all) are of; None where no row says.

        Raises:
            DataError: some say it, and some do not.
        """
        rows = self.rows if rows is None else rows
        without = [row.place for row in rows if not row[column]]
        if len(without) == len(rows):
            return None
        if without:
            raise self.error(f"has no {column} in {', '.join(without[:3])}: give one to every row")
        return [row[column] for row in rows]

    def sources(self, columns: Sequence[str]) -> list[Source]:
        """The files that rows name in some columns, from the folder of the table.

        Raises:
            DataError: a file is not there, or two rows name the same.
        """
        found: dict[Path, Row] = {}
        names = Names()
        sources = []
        for row in self.rows:
            files = tuple(self.file(row, column) for column in columns)
            before = found.setdefault(names.first(files[0]), row)
            if before is not row:
                raise self.error(
                    f"names {files[0]} in {before.place} and {row.place}: name it once"
                )
            sources.append(Source(files))
        return sources

    def file(self, row: Row, column: str) -> Path:
        """The file in a cell.

        Raises:
            DataError: there is none.
        """
        if not row[column]:
            raise self.error(f"has no {column} in {row.place}")
        path = self.path.parent / os.path.expanduser(row[column])  # an unknown user is a name
        notes = Notes()
        try:
            return one_volume(path, notes=notes)
        except DataError as error:
            if not os.path.exists(path):  # False for names that no file can have
                raise self.error(f"names {str(path)!r} in {row.place}, which is no file") from error
            raise self.error(f"names {str(path)!r} in {row.place}: {error}") from error
        finally:
            notes.say()

    def of(self, sources: Sequence[Source], *, column: str) -> list[list[Row]]:
        """The rows about each sample, which they name by the end of the path of one of its files.

        Raises:
            DataError: a row names no sample, or several.
        """
        places: dict[str, set[int]] = {}
        for number, source in enumerate(sources):
            for name in names_of(source):
                places.setdefault(name, set()).add(number)
        rows: list[list[Row]] = [[] for _ in sources]
        for row in self.rows:
            name = str(PurePosixPath(row[column])) if row[column] else ""
            numbers = places.get(name, set())
            if not numbers:
                raise self.error(f"names {name!r} in {row.place}, which is none of the images")
            if len(numbers) > 1:
                raise self.error(
                    f"names {name!r} in {row.place}, which {len(numbers)} images are called: write "
                    "the folder too (folder/name)"
                )
            rows[next(iter(numbers))].append(row)
        return rows


def one_each(
    table: Table, rows: Sequence[Sequence[Row]], *, sources: Sequence[Source]
) -> list[Row]:
    """The one row of each sample.

    Raises:
        DataError: a sample has none, or several.
    """
    without = [s.name for s, own in zip(sources, rows, strict=True) if not own]
    if without:
        raise table.error(
            f"has no row for {len(without)} of {len(sources)} images, such as "
            f"{', '.join(without[:3])}: add them, or leave them out by data.exclude"
        )
    for source, own in zip(sources, rows, strict=True):
        if len(own) > 1:
            raise table.error(
                f"has {source.name} in {own[0].place} and {own[1].place}: name it once"
            )
    return [own[0] for own in rows]


def cell_text(value: Any) -> str:
    """What a cell holds; "" for what tables write where they have nothing."""
    if isinstance(value, bool):
        value = int(value)
    text = plain_text("" if value is None else str(value))
    return "" if text.lower() in NOTHING else text


def _json_rows(
    text: str, *, needed: Collection[str], problem: Problem
) -> Iterator[tuple[dict[str, Any], str]]:
    form = 'the form is [{"image": "case_1.nii.gz", ...}, ...]'
    try:
        content = json.loads(text, object_pairs_hook=partial(_object, problem=problem))
    except (RecursionError, json.JSONDecodeError) as error:
        raise problem(f"is not JSON: {error}; {form}") from error
    if not isinstance(content, list):
        raise problem(f"holds no list: {form}")
    for number, cells in enumerate(content, start=1):
        place = f"entry {number}"
        if not isinstance(cells, dict):
            raise problem(f"holds no object, {place}: {form}")
        lacking = [name for name in needed if name not in cells]
        if lacking:
            raise problem(f"has no {' and no '.join(lacking)}, {place}")
        nested = [name for name, value in cells.items() if isinstance(value, list | dict)]
        if nested:
            raise problem(f"gives {nested[0]} several values, {place}: {form}")
        yield cells, place


def _object(pairs: list[tuple[str, Any]], *, problem: Problem) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise problem(f"gives {twice[0]!r} twice in one object")
    return dict(pairs)
