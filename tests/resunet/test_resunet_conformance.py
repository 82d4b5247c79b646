"""The residual encoder does what every backbone must do."""

from __future__ import annotations

from ssl3d.testing.backbone import BackboneConformance
from ssl3d_plugins.resunet import ResUNet

SMALL = {"widths": (4, 6, 6), "blocks": (1, 2, 1)}
THICK_SLICES = {
    "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    "strides": (1, (1, 2, 2), 2),
}


class TestInstanceNorm(BackboneConformance):
    config = ResUNet(**SMALL)


class TestBatchNorm(BackboneConformance):
    config = ResUNet(**SMALL, norm="batch")


class TestThickSlices(BackboneConformance):
    config = ResUNet(**SMALL, **THICK_SLICES)


class TestStridedStem(BackboneConformance):
    config = ResUNet(widths=(4, 4), blocks=(2, 1), strides=((1, 2, 2), (2, 1, 2)), bias=False)
