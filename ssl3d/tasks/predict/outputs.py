"""The table of what models say of cases as a whole: `predictions.csv`."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ssl3d.files import written_whole

TABLE = "predictions.csv"
CASE = "case"


class OutputTable:
    """A line for each case, written whole each time that one is added.

    Args:
        folder: of the predictions.
        outputs: names of the columns beside `case`.

    Attributes:
        rows: name of a case to its outputs.

    Raises:
        ValueError: the table that is there has other columns.
    """

    def __init__(self, folder: Path, *, outputs: Sequence[str]) -> None:
        self.path = folder / TABLE
        self._outputs = tuple(outputs)
        self.rows: dict[str, tuple[str, ...]] = {}
        if not self.path.is_file():
            return
        self.rows, columns = read_outputs(self.path)
        if columns != self._outputs:
            raise ValueError(
                f"{self.path} has the columns {', '.join(columns)}, and these models give "
                f"{', '.join(outputs)}: give another folder"
            )

    def add(self, name: str, values: Sequence[float]) -> None:
        """Add a case."""
        self.rows[name] = tuple(f"{value:.8g}" for value in values)
        self.write()

    def write(self) -> None:
        """Write all lines."""
        with (
            written_whole(self.path) as unfinished,
            open(unfinished, "w", newline="", encoding="utf-8") as file,
        ):
            table = csv.writer(file)
            table.writerow((CASE, *self._outputs))
            table.writerows((case, *row) for case, row in self.rows.items())


def read_outputs(path: Path) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """(case to its cells, names of the outputs).

    Raises:
        ValueError: it is no such table, or has a case twice.
    """
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    if header[:1] != [CASE] or any(len(line) != len(header) for line in lines):
        raise ValueError(f"{path} is no table of `ssl3d predict`: its first column is {CASE!r}")
    rows: dict[str, tuple[str, ...]] = {}
    for line in lines:
        if line[0] in rows:
            raise ValueError(f"{path} has {line[0]!r} twice")
        rows[line[0]] = tuple(line[1:])
    return rows, tuple(header[1:])


def as_numbers(rows: Mapping[str, Sequence[str]], *, path: Path) -> dict[str, list[float]]:
    """Cells as numbers; raises ValueError that names the case where one is none, or not finite."""
    found: dict[str, list[float]] = {}
    for case, cells in rows.items():
        try:
            found[case] = [float(cell) for cell in cells]
        except ValueError as error:
            raise ValueError(f"{path}, case {case!r}: {error}") from None
        if not all(map(math.isfinite, found[case])):
            raise ValueError(
                f"{path}, case {case!r}: holds {', '.join(cells)}, and what is predicted is a "
                "finite number: predict it again, or leave the line out"
            )
    return found
