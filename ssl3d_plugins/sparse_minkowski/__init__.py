"""Sparse backend `minkowski`: operations by MinkowskiEngine. Importing this loads neither."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.find import hookimpl
from ssl3d_plugins.sparse_minkowski.config import Minkowski

__all__ = ["Minkowski"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backend of this plugin."""
    return (Minkowski,)
