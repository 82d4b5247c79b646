"""Views: one crop, once or for each hidden level, crops in crops, and pairs. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.views.crop_config import Nested, Single
from ssl3d_plugins.views.mask_in_mask_config import MaskInMask
from ssl3d_plugins.views.pair_config import Pair

__all__ = ["MaskInMask", "Nested", "Pair", "Single"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The views of this plugin."""
    return (Single, Nested, MaskInMask, Pair)
