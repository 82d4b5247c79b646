"""Ctrl-C and a scheduler's wish: finish the step, save, leave."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SAVED = 85
"""Exit code of a run that a scheduler has stopped: it is saved and wants to go on."""

INTERRUPTED = 130
"""Exit code of a run that Ctrl-C has stopped, as shells report it."""

ECHO = 0.5
"""Seconds in which another signal is the same wish: `torchrun` and SLURM both pass theirs on."""

SHOW_CURSOR = b"\x1b[?25h\n"
"""What a terminal needs whose progress bar is cut off."""

EXIT_CODES = {"SIGINT": INTERRUPTED, "SIGTERM": SAVED, "SIGUSR1": SAVED}
"""By name, for Windows lacks the last."""


class Signals:
    """Turns the first signal into a request; a second one ends the process at once.

    In a notebook or at Python's prompt the second is a KeyboardInterrupt, for the process is not
    the run's alone.

    Args:
        say: takes a line for the user.

    Attributes:
        requested: True once the run was asked to stop. The loop looks after each step.
        exit_code: of a run that stops for it: 85 for SIGTERM and SIGUSR1, 130 for Ctrl-C, and 0
            where nobody asked.
    """

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.requested = False
        self.exit_code = 0
        self._say = say
        self._when = 0.0
        self._process = os.getpid()

    @contextmanager
    def listening(self) -> Iterator[Signals]:
        """Take the signals, and give them back to whom they were before.

        Begin before the reading processes start, which must not end by a signal to all of a run's
        processes.
        """
        with _handled(self._take, numbers=_numbers(SAVED, INTERRUPTED)):
            yield self

    def _take(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if os.getpid() != self._process:
            return  # a process that was forked; its parent decides
        if self.requested:
            if time.monotonic() - self._when >= ECHO:
                _end(number)
            return
        self.requested, self._when = True, time.monotonic()
        name = signal.Signals(number).name
        self.exit_code = EXIT_CODES[name]
        again = "Press Ctrl-C" if name == "SIGINT" else f"Send {name}"
        line = f"Stopping after this step, which is saved. {again} again to stop at once."
        try:
            self._say(line)
        except RuntimeError:
            # The signal came while a line was being written. Another thread waits for its end.
            threading.Thread(target=self._say, args=(line,)).start()


@contextmanager
def stoppable(say: Callable[[str], None] = print) -> Iterator[None]:
    """Where no step is under way, SIGTERM and SIGUSR1 end a program at once, as one that is saved.

    For what comes before `Signals` listen, and after: imports, and data that are read. It decorates
    functions, too.

    Args:
        say: takes a line for the user.
    """
    process, asked = os.getpid(), False

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal asked
        if os.getpid() == process:  # and not one that was forked; its parent decides
            asked = True
            raise SystemExit(SAVED)

    with _handled(leave, numbers=_numbers(SAVED)):
        try:
            yield
        except SystemExit:
            if asked:
                say("Stopped while no step was under way: nothing is lost. Start it again")
            raise


def _numbers(*codes: int) -> list[int]:
    """Of the signals with these exit codes that the system has."""
    names = [name for name, code in EXIT_CODES.items() if code in codes]
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextmanager
def _handled(
    take: Callable[[int, FrameType | None], None], *, numbers: list[int]
) -> Iterator[None]:
    """Signals go to `take`, and back to whom they went before. Elsewhere than in the main thread
    they go on as they were."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        # One that another language has set is None here: Python could not give it back.
        found = {number: signal.getsignal(number) for number in numbers}
        before = {number: was for number, was in found.items() if was is not None}
    try:
        for number in before:
            signal.signal(number, take)
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _end(number: int) -> None:
    if hasattr(sys, "ps1"):
        raise KeyboardInterrupt
    with suppress(OSError):
        if os.isatty(1):
            os.write(1, SHOW_CURSOR)
    # Neither a traceback nor what Python does at its end: that could wait for another rank.
    os._exit(128 + number)
