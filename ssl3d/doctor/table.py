"""The report as a table for people, and as plain values for programs."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ssl3d.doctor.result import Report, Result

LOG_WIDTH = 120
"""Columns where nobody's window sets them, as in the log of a container build."""

MOST_CHARACTERS = 300
"""Of what a library said; some say pages."""


def plain(report: Report) -> dict[str, Any]:
    """Values for JSON: `ok`, and `checks` with every field of `Result`."""
    rounded = (replace(result, seconds=round(result.seconds, 3)) for result in report.results)
    return {"ok": report.ok, "checks": [asdict(result) for result in rounded]}


def wide_enough(console: Console) -> Console:
    """The console, no narrower than `LOG_WIDTH` where it is no terminal."""
    if not console.is_terminal:
        console.width = max(console.width, LOG_WIDTH)
    return console


def print_report(report: Report, *, console: Console) -> None:
    """One line a check, and what to do beneath each that is not ok."""
    table = Table(
        *(Column(title, no_wrap=True) for title in ("check", "result")),
        Column("seconds", justify="right", no_wrap=True),
        Column("found", overflow="fold"),
    )
    for part, results in itertools.groupby(report.results, _part):
        table.add_section()
        table.add_row(Text(part, style="bold"))
        for result in results:
            status = Text(result.status, style=_style(result))
            seconds = f"{result.seconds:.1f}"
            table.add_row(Text(f"  {result.check}"), status, seconds, _found(result))
    console.print(table)
    console.print(_summary(report))


def _part(result: Result) -> str:
    named = result.device is not None and result.part.startswith("sparse backend")
    return f"{result.part} on {result.device}" if named else result.part


def _style(result: Result) -> str:
    if not result.passed:
        return "bold red"
    return "green" if result.status == "ok" else "yellow"


def _found(result: Result) -> Text:
    lines = result.detail.splitlines() or [""]
    long = len(lines) > 1 or len(lines[0]) > MOST_CHARACTERS
    text = Text(lines[0][:MOST_CHARACTERS] + (" … (whole with --json)" if long else ""))
    if result.advice:
        text.append("\nTo do: " if not result.passed else "\nTo have it: ", style="bold")
        text.append(result.advice)
    return text


def _summary(report: Report) -> Text:
    bad = [result for result in report.results if not result.passed]
    if not bad:
        return Text("Everything that is installed works.", style="green")
    return Text(f"{len(bad)} of {len(report.results)} checks did not pass.", style="bold red")
