"""Losses: restoration of hidden voxels and contrast of visible sites. Importing loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.losses.info_nce_config import InfoNCE
from ssl3d_plugins.losses.restoration_config import L1, MSE

__all__ = ["L1", "MSE", "InfoNCE"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The losses of this plugin."""
    return (MSE, L1, InfoNCE)
