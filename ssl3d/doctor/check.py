"""A check: something to try, and what to advise when it does not work."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from unittest import SkipTest

from ssl3d.doctor.result import Result


class _WithAdvice(Exception):
    """Says what to do about it; empty leaves that to others."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class Wrong(_WithAdvice, AssertionError):
    """What was tried does not work as it should. Overrides the check's advice where it has one."""


class NotThere(_WithAdvice, SkipTest):
    """What was to be tried is not installed, or is not to be had."""


@dataclass(frozen=True)
class Check:
    """Something to try.

    Attributes:
        part: what is looked at.
        name: what is tried.
        run: gives a line about what was found; raises `SkipTest`, or any other exception when it
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

    @property
    def unfinished(self) -> Result:
        """What is known of its result before it is performed, if it should never end."""
        part, name, advice, device = self.part, self.name, self.advice, self.device
        return Result(part, name, "failed", 0.0, "", advice, device, self.required)


def perform(check: Check) -> Result:
    """Try it; whatever an `Exception` can tell ends up in the result."""
    start, result = time.perf_counter(), check.unfinished
    try:
        result = replace(result, status="ok", detail=check.run(), advice="")
    except (SkipTest, AssertionError) as error:
        advice = getattr(error, "advice", "")
        result = replace(result, detail=str(error) or repr(error), advice=advice or check.advice)
        if isinstance(error, SkipTest):
            result = replace(result, status="not there", advice=advice)
    except Exception as error:  # whatever a library may raise
        detail = f"{type(error).__name__}: {error}"
        result = replace(result, detail=detail, output=traceback.format_exc())
    return replace(result, seconds=time.perf_counter() - start)
