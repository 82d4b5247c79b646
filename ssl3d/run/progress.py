"""Progress of a run in the terminal: loss, volumes per second and time left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ssl3d.run.callback import RunCallback
from ssl3d.run.metrics import Metrics
from ssl3d.run.module import RunModule

LINES = 20
"""Lines of a whole run where there is no terminal to draw a bar in."""

SMOOTHING = 0.9
"""Share of the older mean in the loss that is shown."""


class ProgressBar(RunCallback[RunModule]):
    """A bar in a terminal, a line now and then elsewhere.

    Args:
        console: where to.
        metrics: knows the latest held-out loss.
        shown: column of the held-out loss to show.
    """

    def __init__(self, console: Console, *, metrics: Metrics, shown: str) -> None:
        self._console = console
        self._metrics = metrics
        self._shown = shown
        self._loss: float | None = None
        self._first_sample = 0
        self._first_second = 0.0
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=False,
        )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Show the bar."""
        module: RunModule = pl_module
        self._first_sample, self._first_second = module.samples, module.clock.seconds
        if trainer.is_global_zero and self._console.is_terminal:
            self._bar.start()
            steps = module.spec.trainer.steps
            self._task = self._bar.add_task("", total=steps, completed=module.step, text="")

    def after_micro_batch(self, module: RunModule, outputs: Mapping[str, Tensor]) -> None:
        """Smooth the loss of what was measured."""
        if bool(module.empty.all()):
            return
        loss = float(outputs["loss"])
        old = loss if self._loss is None else self._loss
        self._loss = SMOOTHING * old + (1 - SMOOTHING) * loss

    def after_step(self, trainer: lightning.Trainer, module: RunModule) -> None:
        """Show where the run is."""
        if not trainer.is_global_zero:
            return
        steps = module.spec.trainer.steps
        if self._console.is_terminal:
            self._bar.update(self._task, completed=module.step, text=self._text(module))
        elif module.step % -(-steps // LINES) == 0 or module.step == steps:
            self._console.print(f"step {module.step}/{steps}  {self._text(module)}")

    def _text(self, module: RunModule) -> str:
        seconds = max(module.clock.seconds - self._first_second, 1e-9)
        speed = (module.samples - self._first_sample) / seconds
        loss = "loss none yet" if self._loss is None else f"loss {self._loss:.3f}"
        parts = [loss, f"{speed:.3g} volumes/s"]
        if self._shown in self._metrics.latest:
            parts.insert(1, f"held out {self._metrics.latest[self._shown]:.3f}")
        return "  ".join(parts)

    def on_train_end(self, *args: Any) -> None:  # noqa: ARG002
        """Leave the bar as it is."""
        self._bar.stop()

    def on_exception(self, *args: Any) -> None:  # noqa: ARG002
        """Leave the bar as it is."""
        self._bar.stop()
