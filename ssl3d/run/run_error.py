"""Errors of a run that its owner can put right."""

from __future__ import annotations


class RunError(ValueError):
    """A run cannot start or go on; the message says what to do."""


class NotFiniteError(RunError):
    """The loss or its gradient is NaN or infinite."""
