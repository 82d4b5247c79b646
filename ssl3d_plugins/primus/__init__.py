"""Primus: nnU-Net's transformer of EVA-02 blocks, and a decoder of such blocks. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.primus.config import Primus
from ssl3d_plugins.primus.eva_config import Eva

__all__ = ["Eva", "Primus"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backbone of this plugin, and the decoder that goes with it."""
    return (Primus, Eva)
