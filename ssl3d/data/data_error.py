"""Errors that the owner of the data can put right."""

from __future__ import annotations


class DataError(ValueError):
    """The data cannot be used as asked; the message says what to do."""


class BadVolume(DataError):
    """One file cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        # Both arguments reach `args`, so the error survives pickling on its way from a worker.
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
