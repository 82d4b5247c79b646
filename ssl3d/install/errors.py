"""What a failed installation tells the user."""

from __future__ import annotations

from pathlib import Path


class InstallError(RuntimeError):
    """One step of an installation failed.

    Attributes:
        step: the step as shown in the progress display, for example ``"compile"``.
        reason: what went wrong, in one or two sentences.
        advice: what to do about it.
        log: file with the complete output of the step, where one was kept.
    """

    def __init__(self, step: str, *, reason: str, advice: str, log: Path | None = None) -> None:
        self.step = step
        self.reason = reason
        self.advice = advice
        self.log = log
        where = f"\nComplete output: {log}" if log is not None else ""
        super().__init__(f"Step '{step}' failed: {reason}\nWhat to do: {advice}{where}")
