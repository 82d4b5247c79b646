"""Views: one crop, or the same crop once for each hidden level. Importing this loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.views.crop_config import Nested, Single

__all__ = ["Nested", "Single"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The views of this plugin."""
    return (Single, Nested)
