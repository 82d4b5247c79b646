"""The default sparse backend: pure PyTorch, no library to install."""

from __future__ import annotations

from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.sparse_cells.config import Cells

__all__ = ["Cells", "ssl3d_components"]


@hookimpl
def ssl3d_components() -> tuple[type[Cells]]:
    """The components of this plugin."""
    return (Cells,)
