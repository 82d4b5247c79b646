"""Ctrl-C and a scheduler's request to stop: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning
from rich.console import Console

from ssl3d.run.callback import RunCallback
from ssl3d.run.module import RunModule


class StopOnSignal(RunCallback[RunModule]):
    """Turns the first signal into a stop at the end of the step; a second one stops at once.

    Attributes:
        stopped: True once the run was asked to stop.
    """

    def __init__(self, console: Console) -> None:
        self.stopped = False
        self._asked = False
        self._console = console
        self._process = os.getpid()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C: before the reading processes start, which inherit it and live on."""
        before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        self._listen(signal.SIGINT)
        try:
            yield
        finally:
            for number, handler in before if _in_main_thread() else ():
                signal.signal(number, handler)

    def on_train_start(self, *args: Any) -> None:  # noqa: ARG002
        """Take the scheduler's signal after Lightning did, which would drop the step."""
        self._listen(signal.SIGTERM)

    def _listen(self, number: signal.Signals) -> None:
        if _in_main_thread():
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if os.getpid() != self._process:
            return
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._console.print("Stopping after this step. Press Ctrl-C again to stop at once.")

    def after_step(self, trainer: lightning.Trainer, module: RunModule) -> None:
        """Stop when the optimiser step is complete, on all ranks together."""
        asked = self._asked
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked and module.step < module.spec.trainer.steps:
            self.stopped = True
            trainer.should_stop = True


def _in_main_thread() -> bool:
    """Where Python allows signals to be taken."""
    return threading.current_thread() is threading.main_thread()
