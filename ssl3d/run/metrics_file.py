"""Rows of numbers by step: tidy files that survive a resume."""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ssl3d.files import write_text
from ssl3d.run.run_error import RunError

Row = dict[str, float]


class MetricsFile:
    """A CSV file whose rows begin with a step, sorted; columns may come later.

    Args:
        path: of the file.
        last_step: rows after it are dropped: they belong to steps that a resumed run takes again.
            At 0 all are: such a run also measures before its first step again.
        text: columns that hold no numbers.

    Raises:
        RunError: the file that is there is damaged.
    """

    def __init__(self, path: Path, *, last_step: int = 0, text: Collection[str] = ()) -> None:
        self._path, self._a_step_a_row = path, not text
        self.rows: list[dict[str, Any]] = [
            row for row in _read(path, text=text) if last_step > 0 and row["step"] <= last_step
        ]
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if path.exists():
            self._write()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row: appended, or the file is written anew where a column is new.

        Where no column holds text, a step has one row: what comes later is put into it.

        Raises:
            RunError: it cannot be written.
        """
        again = self._a_step_a_row and bool(self.rows) and self.rows[-1]["step"] == row["step"]
        if again:
            row = self.rows.pop() | row
        self.rows.append(row)
        new = [name for name in row if name not in self._columns]
        self._columns += new
        try:
            if new or again:
                self._write()
                return
            with self._path.open("a", encoding="utf-8", newline="") as file:
                self._writer(file).writerow(_plain(row))
        except OSError as error:
            raise RunError(
                f"{self._path} cannot be written: {error.strerror}. The checkpoints are kept: free "
                "some space, or mend what is in the way, and go on from them (--resume, "
                "resume=True)"
            ) from error

    def _write(self) -> None:
        text = io.StringIO(newline="")
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(_plain(row) for row in self.rows)
        write_text(self._path, text.getvalue())

    def _writer(self, file: Any) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self._columns, restval="", lineterminator="\n")


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics file, without empty cells; none where there is no file.

    A last line that ends in the middle is left out: its writer was killed, and it belongs to a step
    that is taken again.

    Raises:
        RunError: the file is damaged; names the line.
    """
    return _read(path, text=())


def _read(path: Path, *, text: Collection[str]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        whole = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from error
    reader = csv.DictReader(io.StringIO(whole[: whole.rfind("\n") + 1], newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    try:
        for line in reader:
            rows.append(_row(line, text=text))
            if len(rows) > 1 and rows[-1]["step"] < rows[-2]["step"]:
                raise ValueError("its step is before that of the line above")
    except (ValueError, csv.Error) as error:
        raise _damaged(path, f"line {reader.line_num}: {error}") from error
    return rows


def _row(line: dict[str | None, Any], *, text: Collection[str]) -> dict[str, Any]:
    """Numbers and texts of a line; raises ValueError where it is not one of this file."""
    if None in line or None in line.values():
        raise ValueError("it has not as many values as there are columns")
    row = {
        str(name): value if name in text else float(value)
        for name, value in line.items()
        if value != ""
    }
    if not float(row.get("step", math.nan)).is_integer():
        raise ValueError("it has no step")
    return row


def _damaged(path: Path, what: str) -> RunError:
    return RunError(
        f"{path} is damaged: {what}. Mend it, or move it away (mv {shlex.quote(str(path))} "
        f"{shlex.quote(f'{path}.damaged')}) and go on (--resume, resume=True): a new one begins "
        "then, and no training is lost"
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "step": int(row["step"])}
