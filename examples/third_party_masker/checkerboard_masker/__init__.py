"""A masker that hides a checkerboard. Importing this loads no torch."""

from __future__ import annotations

from checkerboard_masker.config import Checkerboard
from ssl3d import hookimpl

__all__ = ["Checkerboard"]


@hookimpl
def ssl3d_components() -> tuple[type[Checkerboard]]:
    """The components of this plugin."""
    return (Checkerboard,)
