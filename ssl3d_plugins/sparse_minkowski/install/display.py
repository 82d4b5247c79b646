"""Showing the steps of an installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Display:
    """Shows the current step with its time and, where its length is known, a bar.

    Without a terminal (a container build, a CI log) it prints plain lines instead.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._step = ""

    def begin(self, step: str) -> None:
        """A step starts; the one before it is done."""
        self.finish()
        self._step = step
        self._bars.add_task(step, total=None)
        self._line(step)

    def advance(self, done: int, total: int) -> None:
        """The current step has finished `done` of `total` equal parts."""
        self._bars.update(self._bars.task_ids[-1], completed=done, total=total)
        self._line(f"{self._step}: {done} of {total}")

    def note(self, text: str) -> None:
        """Something worth a line of its own."""
        self._bars.console.print(text, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """The current step succeeded."""
        for bar in self._bars.task_ids[-1:]:
            self._bars.update(bar, completed=1, total=1)

    def _line(self, text: str) -> None:
        if self._bars.disable:
            self._bars.console.print(text)


@contextmanager
def display_on(console: Console) -> Iterator[Display]:
    """Draws on `console` for as long as the context lasts."""
    tick, bar = SpinnerColumn(finished_text="[green]✓"), BarColumn(bar_width=30)
    columns = (tick, TextColumn("{task.description}"), bar, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        display = Display(bars)
        yield display
        display.finish()
