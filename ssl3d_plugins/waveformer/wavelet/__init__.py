"""Wavelet transforms over the last three axes, or fused for attention over the Haar average."""

from ssl3d_plugins.waveformer.wavelet.fused import (
    add_to_blocks_,
    block_mean,
    join_blocks,
    split_blocks,
)
from ssl3d_plugins.waveformer.wavelet.haar import analyse, synthesise
from ssl3d_plugins.waveformer.wavelet.transform import Bands, Decomposition, decompose, reconstruct

__all__ = [
    "Bands",
    "Decomposition",
    "add_to_blocks_",
    "analyse",
    "block_mean",
    "decompose",
    "join_blocks",
    "reconstruct",
    "split_blocks",
    "synthesise",
]
