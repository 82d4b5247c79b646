"""The default sparse backend, pure PyTorch, and the command that measures its ways to convolve.

Importing this loads neither torch nor pydantic, for `ssl3d --help` does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ssl3d.plugin.hooks import hookimpl

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_cells.config import Cells

__all__ = ["Cells", "ssl3d_components"]


def __getattr__(name: str) -> Any:
    if name != "Cells":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ssl3d_plugins.sparse_cells.config import Cells

    return Cells


@hookimpl
def ssl3d_components() -> tuple[type[Cells]]:
    """The backend of this plugin."""
    from ssl3d_plugins.sparse_cells.config import Cells

    return (Cells,)


@hookimpl
def ssl3d_commands() -> tuple[tuple[str, str, str]]:
    """The measurement."""
    app = "ssl3d_plugins.sparse_cells.tune.command:app"
    return (("tune", app, "Measure the ways to convolve on this machine."),)
