"""Sparse backend `minkowski`: operations by MinkowskiEngine, and the command that installs it.

Importing this loads neither it nor pydantic, for `ssl3d --help` does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ssl3d.plugin.hooks import hookimpl

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_minkowski.config import Minkowski

__all__ = ["Minkowski"]


def __getattr__(name: str) -> Any:
    if name != "Minkowski":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ssl3d_plugins.sparse_minkowski.config import Minkowski

    return Minkowski


@hookimpl
def ssl3d_components() -> tuple[type[Minkowski]]:
    """The backend of this plugin."""
    from ssl3d_plugins.sparse_minkowski.config import Minkowski

    return (Minkowski,)


@hookimpl
def ssl3d_checks() -> tuple[tuple[str, Callable[[], str], str], ...]:
    """The version of its library."""
    from ssl3d_plugins.sparse_minkowski.version import REPAIR, version

    return (("MinkowskiEngine", version, REPAIR),)


@hookimpl
def ssl3d_commands() -> tuple[tuple[str, str, str]]:
    """The installer."""
    app = "ssl3d_plugins.sparse_minkowski.install.command:app"
    return (("install", app, "Build and install optional libraries."),)
