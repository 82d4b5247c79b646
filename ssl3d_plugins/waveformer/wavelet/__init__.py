"""Wavelet transforms over the last three axes, or fused for attention over the Haar average."""

from ssl3d_plugins.waveformer.wavelet.fused import (
    block_mean,
    join_blocks,
    replace_mean,
    split_blocks,
)
from ssl3d_plugins.waveformer.wavelet.transform import Bands, Decomposition, decompose, reconstruct

__all__ = [
    "Bands",
    "Decomposition",
    "block_mean",
    "decompose",
    "join_blocks",
    "reconstruct",
    "replace_mean",
    "split_blocks",
]
