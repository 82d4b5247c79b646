"""The decoder `wavelet` under the contract of decoders."""

from __future__ import annotations

from ssl3d.geometry import Stage
from ssl3d.testing.decoder import DecoderConformance
from ssl3d_plugins.waveformer import WaveFormer, Wavelet


class TestWavelet(DecoderConformance):
    config = Wavelet()


class TestNarrow(DecoderConformance):
    config = Wavelet(width=16, head_stride=2, mlp_ratio=1)
    stages = (Stage((1, 1, 1), 6), Stage((2, 2, 2), 8), Stage((4, 4, 4), 10))


class TestLongFilter(DecoderConformance):
    config = Wavelet(wavelet="db2")


class TestOneStage(DecoderConformance):
    config = Wavelet()
    stages = (Stage((3, 4, 2), 8),)


class TestHandedOn(DecoderConformance):
    config = Wavelet(details="handed_on", width=16)
    stages = WaveFormer(widths=(8, 8, 12), heads=(1, 1, 2), patch=(1, 2, 2)).stages()


class TestHandedOnOfSomeLevels(DecoderConformance):
    config = Wavelet(details="handed_on")
    stages = WaveFormer(
        widths=(8, 12), heads=(1, 2), patch=(1, 2, 2), merging=(4,), levels=((0, 1, 2), 0)
    ).stages()
