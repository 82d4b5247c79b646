"""A check: something to try, and what to advise when it does not work."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ssl3d.doctor.result import Result, Status


class Wrong(Exception):
    """What was tried does not work as it should. Overrides the check's advice where it has one."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class NotThere(Exception):
    """What was to be tried is not installed, or is not to be had."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


@dataclass(frozen=True)
class Check:
    """Something to try.

    Attributes:
        part: what is looked at.
        name: what is tried.
        run: gives a line about what was found; raises `NotThere`, or any other exception when it
            does not work.
        advice: what to do when it does not work.
        device: that it is tried on, where it matters.
        required: it was asked for.
        gate: the checks after it make no sense unless this one is ok.
    """

    part: str
    name: str
    run: Callable[[], str]
    advice: str
    device: str | None = None
    required: bool = False
    gate: bool = False


def perform(check: Check) -> Result:
    """Try it; whatever an `Exception` can tell ends up in the result."""
    start = time.perf_counter()
    status: Status = "ok"
    advice = output = ""
    try:
        detail = check.run()
    except NotThere as error:
        status, detail, advice = "not there", str(error), error.advice
    except Wrong as error:
        status, detail, advice = "failed", str(error), error.advice or check.advice
    except Exception as error:  # whatever a library may raise
        status, detail, advice = "failed", f"{type(error).__name__}: {error}", check.advice
        output = traceback.format_exc()
    return Result(
        part=check.part,
        check=check.name,
        status=status,
        seconds=time.perf_counter() - start,
        detail=detail,
        advice=advice,
        device=check.device,
        required=check.required,
        output=output,
    )
