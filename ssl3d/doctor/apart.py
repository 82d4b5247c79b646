"""Examining a part in a process of its own: a library that crashes or hangs takes nothing along."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from ssl3d.doctor.parts import Part
from ssl3d.doctor.result import Result

KEPT_LINES = 60
"""Of the output of a process that died."""


def examine_apart(part: Part, *, limit: float) -> list[Result]:
    """Perform the checks of a part; what kills the process is a failed check.

    After a crash the checks that follow are tried in a new process.

    Args:
        part: what to look at.
        limit: seconds for all checks of the part together.
    """
    results: list[Result] = []
    deadline = time.monotonic() + limit
    while True:
        done = [f"{result.part}: {result.check}" for result in results]
        attempt = _attempt(part, done=done, seconds=deadline - time.monotonic(), limit=limit)
        results += attempt.results
        if not attempt.go_on:
            return results


class _Attempt(NamedTuple):
    results: list[Result]
    go_on: bool


def _attempt(part: Part, *, done: list[str], seconds: float, limit: float) -> _Attempt:
    """One process, for at most so many of the limit's seconds."""
    with tempfile.TemporaryDirectory(prefix="ssl3d-doctor-") as folder:
        records, log = Path(folder) / "records", Path(folder) / "log"
        records.touch()
        start = time.monotonic()
        status = _run(_command(part, done=done, records=records), log=log, seconds=seconds)
        elapsed = time.monotonic() - start
        lines = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
        output = log.read_text(encoding="utf-8", errors="replace").splitlines()[-KEPT_LINES:]
    results = [Result(**line["result"]) for line in lines if "result" in line]
    if status == 0:
        return _Attempt(results, go_on=False)
    begun, gate = _unfinished(part, lines)
    last = status is None or gate
    reason = f"no answer after {limit:.0f} s" if status is None else f"died of {_cause(status)}"
    rest = "; what comes after it was not tried" if last else ""
    killed = Result(
        **begun,
        status="failed",
        seconds=elapsed - sum(result.seconds for result in results),
        detail=reason + rest,
        output="\n".join(output),
    )
    return _Attempt([*results, killed], go_on=not last)


def _unfinished(part: Part, lines: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """The check that was begun and not finished, and whether the others need it."""
    if lines and "begun" in lines[-1]:
        return lines[-1]["begun"], lines[-1]["gate"]
    advice = "run it again with --json and read the output of this line"
    return {"part": part.title, "check": "start", "advice": advice}, True


def _command(part: Part, *, done: list[str], records: Path) -> list[str]:
    job = json.dumps({"part": dataclasses.asdict(part), "done": done})
    # Without the folder that one happens to stand in; with the Python stack of a crash.
    options = ["-P", "-X", "faulthandler"]
    return [sys.executable, *options, "-m", "ssl3d.doctor.child", job, str(records)]


def _run(command: list[str], *, log: Path, seconds: float) -> int | None:
    """Exit status, or None where it had to be stopped."""
    with log.open("w", encoding="utf-8") as file:
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=max(seconds, 0.0),
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def _cause(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
