"""Showing the steps of an installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Reporter(Protocol):
    """Is told what an installation is doing."""

    def begin(self, step: str) -> None:
        """A step starts; the one before it is done."""

    def advance(self, done: int, total: int) -> None:
        """The current step has finished `done` of `total` equal parts."""

    def note(self, text: str) -> None:
        """Something worth a line of its own."""


class RichReporter:
    """Shows the current step with its time and, where its length is known, a bar.

    Without a terminal (a container build, a CI log) it prints plain lines instead.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._task = progress.add_task("", visible=False, total=None)
        self._step = ""

    def begin(self, step: str) -> None:
        self.finish()
        self._step = step
        if self._console.is_terminal:
            self._task = self._progress.add_task(step, total=None)
        else:
            self._console.print(step)

    def advance(self, done: int, total: int) -> None:
        if self._console.is_terminal:
            self._progress.update(self._task, completed=done, total=total)
        else:
            self._console.print(f"{self._step}: {done} of {total}")

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """The current step succeeded."""
        self._progress.update(self._task, completed=1, total=1)


@contextmanager
def rich_reporter(console: Console) -> Iterator[RichReporter]:
    """A reporter that draws on `console` for as long as the context lasts."""
    with Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        reporter = RichReporter(console, progress)
        yield reporter
        reporter.finish()
