"""WaveFormer: a hierarchical transformer that attends in the wavelet domain. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.find import hookimpl
from ssl3d_plugins.waveformer.config import WaveFormer

__all__ = ["WaveFormer"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backbone of this plugin."""
    return (WaveFormer,)
