"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "not there"]


@dataclass(frozen=True)
class Result:
    """One line of the report.

    Attributes:
        part: what was looked at, such as `versions` or `sparse backend spconv`.
        check: what was tried.
        status: `not there` is something optional that is not installed, or that a library lacks.
        seconds: that it took.
        detail: what was found.
        advice: what to do about it; empty where nothing needs to be done.
        device: that it was tried on, where it matters.
        required: it was asked for, so it counts against the installation if it is not there.
        output: traceback, or the end of what the process printed before it died.
    """

    part: str
    check: str
    status: Status
    seconds: float
    detail: str
    advice: str = ""
    device: str | None = None
    required: bool = False
    output: str = ""

    @property
    def title(self) -> str:
        """What was tried, on what."""
        return f"{self.part}: {self.check}"

    @property
    def passed(self) -> bool:
        """False where this line makes the whole examination fail."""
        return self.status == "ok" or (self.status == "not there" and not self.required)


@dataclass(frozen=True)
class Report:
    """Everything that was found."""

    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """True when no line failed and nothing that was asked for is missing."""
        return all(result.passed for result in self.results)
