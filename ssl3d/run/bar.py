"""Progress of a run in the terminal: loss, volumes per second and time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

LINES = 20
"""Lines of a whole run where there is no terminal to draw a bar in."""

SMOOTHING = 0.9
"""Share of the older mean in the loss that is shown."""


class Bar:
    """A bar in a terminal, a line now and then elsewhere.

    Args:
        console: where to; a quiet one on ranks that print nothing.
        steps: of the whole run.
        done: of them, before this start.
    """

    def __init__(self, console: Console, *, steps: int, done: int) -> None:
        self._console = console
        self._steps = steps
        self._done = done
        self._loss: float | None = None
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        self._task: TaskID | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar inside, and leave it as it is afterwards."""
        if self._console.is_terminal and not self._console.quiet:
            self._task = self._progress.add_task(
                "", total=self._steps, completed=self._done, text=""
            )
            self._progress.start()
        try:
            yield
        finally:
            self._progress.stop()

    def add_loss(self, loss: float) -> None:
        """Smooth the loss of a step."""
        old = loss if self._loss is None else self._loss
        self._loss = SMOOTHING * old + (1 - SMOOTHING) * loss

    def update(self, step: int, *, speed: float | None, also: str = "") -> None:
        """Show where the run is.

        Args:
            step: steps taken.
            speed: volumes per second; None: not shown.
            also: a further number in words.
        """
        loss = "loss none yet" if self._loss is None else f"loss {self._loss:.3f}"
        fast = "" if speed is None else f"{speed:.3g} volumes/s"
        text = "  ".join(part for part in (loss, also, fast) if part)
        if self._task is not None:
            self._progress.update(self._task, completed=step, text=text)
        elif step % -(-self._steps // LINES) == 0 or step == self._steps:
            self._console.print(f"step {step}/{self._steps}  {text}")
