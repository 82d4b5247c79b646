"""Sparse backend `spconv`: convolutions by the spconv library. Importing this loads neither."""

from __future__ import annotations

from collections.abc import Callable

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.sparse_spconv.config import Spconv
from ssl3d_plugins.sparse_spconv.library import REPAIR, installed_build

__all__ = ["Spconv"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backend of this plugin."""
    return (Spconv,)


@hookimpl
def ssl3d_checks() -> tuple[tuple[str, Callable[[], str], str], ...]:
    """The build of its library."""
    return (("spconv", installed_build, REPAIR),)
