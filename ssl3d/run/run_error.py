"""Errors of a run that its owner can put right."""

from __future__ import annotations

from pathlib import Path


class RunError(ValueError):
    """A run cannot start or go on; the message says what to do."""


class NotFiniteError(RunError):
    """The loss or its gradient is NaN or infinite."""


def older_run(folder: Path) -> RunError:
    """The error of resuming a run whose crops and masks this version cannot draw again."""
    return RunError(
        f"{folder}: this run was begun by an older version, whose crops and masks were drawn "
        f"otherwise: start a new run, with init={folder} to keep its encoder"
    )
