"""WaveFormer, a hierarchical transformer that attends in the wavelet domain, and a decoder of its
kind. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.decoder_config import WaveFormerUNet
from ssl3d_plugins.waveformer.round_trip import REPAIR, round_trip
from ssl3d_plugins.waveformer.wavelet_decoder.config import Wavelet

__all__ = ["WaveFormer", "WaveFormerUNet", "Wavelet"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The backbone of this plugin, its decoder as published, and one that attends."""
    return (WaveFormer, WaveFormerUNet, Wavelet)


@hookimpl
def ssl3d_checks() -> tuple[tuple[str, Callable[[], str], str], ...]:
    """A short filter and a longer one of the library behind the transforms."""
    return (
        ("haar round trip", partial(round_trip, "haar", level=3), REPAIR),
        ("db2 round trip", partial(round_trip, "db2", level=2), REPAIR),
    )
