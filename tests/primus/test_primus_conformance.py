"""Primus and the decoder `eva` do what every backbone and every decoder must do."""

from __future__ import annotations

from ssl3d.geometry import Stage
from ssl3d.testing.backbone import BackboneConformance
from ssl3d.testing.decoder import DecoderConformance
from ssl3d_plugins.primus import Eva, Primus


class TestPrimus(BackboneConformance):
    config = Primus(width=12, depth=2, heads=2, patch=4, volume=(8, 12, 8))
    depends_on_grid_size = True


class TestThickSlicesOfAnotherSize(BackboneConformance):
    """The table of positions is interpolated."""

    config = Primus(width=12, depth=1, heads=1, patch=(1, 2, 2), volume=(3, 4, 10))
    depends_on_grid_size = True


class TestEva(DecoderConformance):
    config = Eva(volume=(4, 24, 16))


class TestEvaOfOneStage(DecoderConformance):
    config = Eva(depth=1, heads=2, volume=16)
    stages = (Stage((4, 4, 4), 24),)
