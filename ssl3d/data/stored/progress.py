"""How far a store is filled, how fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

T = TypeVar("T")

EVERY = 30.0
"""Seconds between two lines where the output is no terminal."""


class Rate:
    """Says how many volumes are done: a bar on a terminal, else a line now and then.

    Args:
        total: volumes to prepare.
        kept: volumes that are finished already.
        console: where it is said.
    """

    def __init__(self, total: int, *, kept: int, console: Console) -> None:
        self._total = total
        self._console = console
        self._start = time.monotonic()
        finished = f", {kept} are finished already" if kept else ""
        self._say(f"{total} volumes to prepare{finished}")

    def through(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each counted when the next is asked for."""
        if not self._console.is_terminal:
            yield from self._in_lines(items)
            return
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task("", total=self._total)
            for done, item in enumerate(items, start=1):
                yield item
                bar.update(task, completed=done, description=self.words(done))

    def _in_lines(self, items: Iterable[T]) -> Iterator[T]:
        said = self._start
        for done, item in enumerate(items, start=1):
            yield item
            if time.monotonic() - said >= EVERY:
                said = time.monotonic()
                self._say(f"{done} of {self._total} volumes, {self.words(done)}")

    def words(self, done: int) -> str:
        """Rate and time left."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        left = timedelta(seconds=round((self._total - done) * seconds / done))
        return f"{done / seconds:.2g} a second, {left} left"

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
