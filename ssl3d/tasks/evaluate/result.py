"""What an evaluation comes to, as files and in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ssl3d.data.data_error import shown
from ssl3d.folder import RunFolder
from ssl3d.measure.bootstrap import Interval, intervals
from ssl3d.measure.tables import Row, cases_table, would_be_lost, write_results

WORST = 3
"""Cases that are named."""

Summary = Callable[[Sequence[Mapping[str, float]]], Row]


@dataclass(frozen=True)
class Evaluated:
    """Numbers over cases.

    Attributes:
        numbers: by name, the primary ones first.
        intervals: of these, 95 % over cases (over groups where they are known).
        rows: case to its numbers.
        worst: all cases, the worst first.
        out: folder with `metrics.csv`, `cases.csv` and `summary.json`; None where none is written.
    """

    numbers: Row
    intervals: Mapping[str, Interval]
    rows: Mapping[str, Row]
    worst: tuple[str, ...]
    out: Path | None


def check_out(
    out: str | os.PathLike[str] | None, *, given: str | os.PathLike[str] | None = None
) -> None:
    """Refuse a folder in which something else would be written over.

    Args:
        out: the folder; None: nothing is written.
        given: a table that is read.

    Raises:
        ValueError: it is one of a run, or no folder, or holds other files of these names.
    """
    if out is None:
        return
    if Path(out).exists() and not Path(out).is_dir():
        raise ValueError(f"out: {out} is no folder")
    if RunFolder(out).spec_json.exists():  # numbers of before may be written over
        raise ValueError(
            f"out: {out} holds a run, whose metrics.csv and summary.json would be lost: give "
            "another folder"
        )
    lost = would_be_lost(Path(out), given=None if given is None else Path(given))
    if lost:
        raise ValueError(
            f"out: {out} holds {', '.join(lost)} of something else, which would be written over: "
            "give another folder"
        )


def evaluated(
    rows: Mapping[str, Row],
    *,
    groups: Sequence[str] | None,
    summary: Summary,
    badness: Callable[[Row], float],
    facts: Mapping[str, Any],
    out: str | os.PathLike[str] | None,
    console: Console | None,
) -> Evaluated:
    """Sum up, write and print.

    Args:
        rows: case to its numbers.
        groups: of each case, in the same order; None: each case is a group of its own.
        summary: numbers over cases.
        badness: what cases are sorted by.
        facts: what else `summary.json` says.
        out: folder; None: nothing is written.
        console: where the numbers are printed; the terminal by default.
    """
    every = list(rows.values())
    numbers = summary(every)
    ends = intervals(every, summary=summary, seed=0, groups=groups)
    worst = tuple(str(line["case"]) for line in cases_table(rows, badness=badness))
    folder = None if out is None else Path(out)
    if folder is not None:
        write_results(
            folder,
            rows=rows,
            summary=numbers,
            intervals=ends,
            badness=badness,
            facts=facts,
        )
    found = Evaluated(numbers, ends, rows, worst, folder)
    _print(found, console=console or Console())
    return found


def _print(found: Evaluated, *, console: Console) -> None:
    table = Table(title=f"{len(found.rows)} cases")
    for column in ("number", "value", "95 % interval over cases"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for name, value in found.numbers.items():
        low, high = found.intervals[name]
        table.add_row(name, f"{value:.4f}", f"{low:.3f} to {high:.3f}")
    console.print(table)
    names = ", ".join(shown(name) for name in found.worst[:WORST])
    where = "" if found.out is None else f"\nWritten to {shown(found.out)}"
    console.print(f"Worst first: {names}{where}", markup=False, highlight=False, soft_wrap=True)
