"""Sparse backend `minkowski`: operations by MinkowskiEngine. Importing this loads neither."""

from __future__ import annotations

from collections.abc import Callable

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.find import hookimpl
from ssl3d_plugins.sparse_minkowski.config import Minkowski
from ssl3d_plugins.sparse_minkowski.version import REPAIR, version

__all__ = ["Minkowski"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backend of this plugin."""
    return (Minkowski,)


@hookimpl
def ssl3d_checks() -> tuple[tuple[str, Callable[[], str], str], ...]:
    """The version of its library."""
    return (("MinkowskiEngine", version, REPAIR),)
