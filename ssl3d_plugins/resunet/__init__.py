"""Backbone `resunet`: nnU-Net's residual encoder. Importing this loads no torch."""

from __future__ import annotations

from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.resunet.config import ResUNet

__all__ = ["ResUNet", "ssl3d_components"]


@hookimpl
def ssl3d_components() -> tuple[type[ResUNet]]:
    """The components of this plugin."""
    return (ResUNet,)
