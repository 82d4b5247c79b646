"""What was measured, as tables: `metrics.csv`, `cases.csv` and `summary.json`."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl3d.files import write_json, written_whole
from ssl3d.measure.bootstrap import Interval

Row = Mapping[str, float]

METRICS, CASES, SUMMARY = "metrics.csv", "cases.csv", "summary.json"

_SIGNS = {METRICS: b"number,value,", CASES: b"case,", SUMMARY: b'"numbers":'}
"""What a table begins with and a summary holds, and a file that somebody else wrote hardly does."""


def metrics_table(summary: Row, *, intervals: Mapping[str, Interval]) -> list[dict[str, Any]]:
    """A line for each number: its name, value, and the ends of its 95 % interval."""
    none = Interval(math.nan, math.nan)
    return [
        {"number": name, "value": value, **intervals.get(name, none)._asdict()}
        for name, value in summary.items()
    ]


def cases_table(
    rows: Mapping[str, Row], *, badness: Callable[[Row], float]
) -> list[dict[str, Any]]:
    """A line for each case, the worst first; those of which nothing can be said come last.

    Args:
        rows: case to its numbers.
        badness: what they are sorted by.
    """

    def key(case: str) -> tuple[bool, float, str]:
        bad = badness(rows[case])
        return (math.isnan(bad), -bad if not math.isnan(bad) else 0.0, case)

    return [{"case": case, **rows[case]} for case in sorted(rows, key=key)]


def folds_table(summaries: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation over folds of each number, and of how many folds."""
    names = dict.fromkeys(name for one in summaries for name in one)
    table = {}
    for name in names:
        values = [one[name] for one in summaries if not math.isnan(one.get(name, math.nan))]
        table[name] = {
            "mean": statistics.fmean(values) if values else math.nan,
            "sd": statistics.stdev(values) if len(values) > 1 else math.nan,
            "folds": float(len(values)),
        }
    return table


def write_table(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """A CSV with one line for each mapping, whole or not at all; what is NaN stays empty.

    Raises:
        ValueError: there are no lines.
    """
    if not lines:
        raise ValueError(f"{path}: there is nothing to write")
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with (
        written_whole(path) as unfinished,
        open(unfinished, "w", newline="", encoding="utf-8") as file,
    ):
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows({n: _shown(line.get(n, "")) for n in columns} for line in lines)


def write_results(
    folder: Path,
    *,
    rows: Mapping[str, Row],
    summary: Row,
    intervals: Mapping[str, Interval],
    badness: Callable[[Row], float],
    facts: Mapping[str, Any],
) -> None:
    """`metrics.csv`, `cases.csv` and `summary.json` into a folder.

    Args:
        folder: is made where it is missing.
        rows: case to its numbers.
        summary: numbers over cases.
        intervals: of these.
        badness: what cases are sorted by.
        facts: what else `summary.json` says, such as encoder, fold and seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = metrics_table(summary, intervals=intervals)
    write_table(folder / METRICS, metrics)
    write_table(folder / CASES, cases_table(rows, badness=badness))
    numbers = {
        line["number"]: {n: _plain(line[n]) for n in ("value", "low", "high")} for line in metrics
    }
    write_json(folder / SUMMARY, {**facts, "cases": len(rows), "numbers": numbers})


def would_be_lost(folder: Path, *, given: Path | None = None) -> list[str]:
    """Names of files that `write_results` would write over, and that are no results of before.

    Args:
        folder: where it would write.
        given: a table that is read, which is one of them whatever it holds.
    """
    files = [folder / name for name in _SIGNS if (folder / name).exists()]
    return [
        file.name
        for file in files
        if not _written_here(file) or (given is not None and file.samefile(given))
    ]


def _written_here(file: Path) -> bool:
    content, sign = file.read_bytes(), _SIGNS[file.name]
    return sign in content if file.name == SUMMARY else content.startswith(sign)


def _shown(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
