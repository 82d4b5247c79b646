"""What a failed installation tells the user."""

from __future__ import annotations

from pathlib import Path


class InstallError(RuntimeError):
    """One step of an installation failed.

    Attributes:
        step: as it is shown while it runs, for example `compile`.
        reason: what went wrong, in one or two sentences.
        advice: what to do about it.
        log: file with the complete output of the step, where one was kept.
    """

    def __init__(self, step: str, *, reason: str, advice: str, log: Path | None = None) -> None:
        self.step, self.reason, self.advice, self.log = step, reason, advice, log
        where = f"\nComplete output: {log}" if log is not None else ""
        super().__init__(f"Step '{step}' failed: {reason}\nWhat to do: {advice}{where}")
