"""WaveFormer does what every backbone must do, whatever its options."""

from __future__ import annotations

from ssl3d.testing.backbone import BackboneConformance
from ssl3d_plugins.waveformer import WaveFormer

SMALL = {"widths": (12, 12, 18), "depths": (1, 2, 1), "heads": (2, 1, 3), "mlp_ratio": 2}


class TestDefault(BackboneConformance):
    config = WaveFormer(**SMALL)


class TestThickSlices(BackboneConformance):
    """Total stride (4, 16, 16)."""

    config = WaveFormer(
        widths=(6, 6, 12, 12),
        depths=(1, 1, 1, 1),
        heads=(1, 1, 2, 1),
        merging=(2, (1, 2, 2), (1, 2, 2)),
    )
    in_channels = 1
    multiples = (1,)


class TestRelativeBias(BackboneConformance):
    config = WaveFormer(**SMALL, positions="relative_bias")
    multiples = (1,)


class TestConvolutions(BackboneConformance):
    """Depthwise convolutions in the FFN and on the details, which see neighbouring cells."""

    config = WaveFormer(**SMALL, details="depthwise", ffn="conv", positions="none")


class TestMlpDetails(BackboneConformance):
    config = WaveFormer(**SMALL, details="mlp", levels=(1, (1, 1, 0), 0))
    multiples = (1,)


class TestPaper(BackboneConformance):
    """Windows that do not divide the grid, on every level of thick-slice cells."""

    config = WaveFormer(
        preset="paper",
        widths=(4, 4, 6),
        depths=(1, 1, 2),
        heads=(1, 2, 1),
        merging=((1, 2, 2), 2),
        window=(2, 3, 2),
        mlp_ratio=2,
    )
    multiples = (1,)


class TestOneStage(BackboneConformance):
    config = WaveFormer(widths=(7,), heads=(1,), depths=(2,), patch=(3, 1, 2))
