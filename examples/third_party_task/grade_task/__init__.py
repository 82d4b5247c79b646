"""A task of grades that have an order. Importing this loads no torch."""

from __future__ import annotations

from grade_task.config import Grade
from ssl3d import hookimpl

__all__ = ["Grade"]


@hookimpl
def ssl3d_components() -> tuple[type[Grade]]:
    """The components of this plugin."""
    return (Grade,)
