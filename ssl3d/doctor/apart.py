"""Examining a part in a process of its own: a library that crashes or hangs takes nothing along."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from ssl3d.doctor.check import Check, perform
from ssl3d.doctor.result import Result

KEPT_LINES = 60
"""Of the output of a process that died."""


@dataclass(frozen=True)
class Part:
    """What one process is to look at.

    Attributes:
        title: of the report's line where no check could begin.
        checks: lists the checks; called in the process, and sent there by name.
    """

    title: str
    checks: Callable[[], Iterable[Check]]


def examine_apart(part: Part, *, limit: float) -> list[Result]:
    """Perform the checks of a part; what kills the process is a failed check.

    After a crash the checks that follow are tried in a new process.

    Args:
        part: what to look at.
        limit: seconds for all checks of the part together.
    """
    results: list[Result] = []
    end = time.monotonic() + limit
    while True:
        cause, gate, begun = _attempt(part, results, end=end)
        if cause == "":
            return results
        last = cause is None or gate
        reason = f"no answer after {limit:.0f} s" if cause is None else f"died of {cause}"
        detail = reason + ("; what comes after it was not tried" if last else "")
        results.append(replace(begun, detail=detail))
        if last:
            return results


def _attempt(part: Part, results: list[Result], *, end: float) -> tuple[str | None, bool, Result]:
    """One process; adds what it finds to `results`.

    Returns:
        What killed it, empty where it finished and None where it had to be stopped; whether what
        comes after makes no sense then; and the check that it had begun.
    """
    advice = "run it again with --json and read the output of this line"
    nothing = (True, Result(part.title, "start", "failed", 0.0, "", advice))
    gate, begun = nothing
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="ssl3d-doctor-") as folder:
        log = Path(folder) / "log"
        log.touch()
        given = (part.checks, {r.title for r in results}, sender, str(log))
        process = spawn.Process(target=_perform_all, args=given)
        began = time.monotonic()
        process.start()
        sender.close()
        try:
            while receiver.poll(max(0.0, end - time.monotonic())):
                result, finished, gate = receiver.recv()
                began = time.monotonic()
                if finished:
                    results.append(result)
                gate, begun = nothing if finished else (gate, result)
        except EOFError:
            process.join(max(0.0, end - time.monotonic()))
        finally:
            hung = process.is_alive()
            process.kill()
            process.join()
        seconds = time.monotonic() - began
        output = "\n".join(log.read_text("utf-8", "replace").splitlines()[-KEPT_LINES:])
    cause = None if hung else _cause(process.exitcode or 0)
    return cause, gate, replace(begun, seconds=seconds, output=output)


def _perform_all(
    checks: Callable[[], Iterable[Check]], done: Collection[str], records: Connection, log: str
) -> None:
    """In the process: tell of each check before and after it; print into the log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable()  # the Python stack of a crash
    for check in checks():
        if check.unfinished.title in done:
            continue
        records.send((check.unfinished, False, check.gate))
        result = perform(check)
        records.send((result, True, check.gate))
        if check.gate and result.status != "ok":
            return


def _cause(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}" if status else ""
