"""Progress over cases in the terminal: how many, how fast, and the time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ssl3d.data.data_error import shown


class CaseProgress:
    """A bar in a terminal, a line for each case elsewhere.

    Args:
        console: where to.
        cases: that are to be done.
        what: they are called.
    """

    def __init__(self, console: Console, *, cases: int, what: str = "case") -> None:
        self._what = what
        self._console, self._cases, self._done = console, cases, 0
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.fields[text]}"), BarColumn(bar_width=None), console=console
        )
        self._task: TaskID | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar inside."""
        if self._console.is_terminal and not self._console.quiet:
            self._task = self._bar.add_task("", total=self._cases, text=self._words(0.0))
            self._bar.start()
        try:
            yield
        finally:
            self._bar.stop()

    def part(self, done: int, total: int) -> None:
        """So many windows of this case are done."""
        self._update(self._done + done / total)

    def case(self, name: str) -> None:
        """A case is done."""
        self._done += 1
        self._update(self._done)
        if self._task is None:
            text = f"{self._words(self._done)}  {shown(name)}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _update(self, cases: float) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=cases, text=self._words(cases))

    def _words(self, cases: float) -> str:
        """Cases done, cases per minute, and the time left."""
        seconds = max(time.monotonic() - self._start, 1e-6)
        text = f"{self._what} {int(cases)}/{self._cases}"
        if not cases:
            return text
        left = (self._cases - cases) * seconds / cases
        return f"{text}  {60 * cases / seconds:.3g} {self._what}s/min  {_duration(left)} left"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
