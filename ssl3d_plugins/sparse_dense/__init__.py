"""The reference sparse backend: dense operations on a zero-filled volume."""

from __future__ import annotations

from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.sparse_dense.config import Dense

__all__ = ["Dense", "ssl3d_components"]


@hookimpl
def ssl3d_components() -> tuple[type[Dense]]:
    """The components of this plugin."""
    return (Dense,)
