"""MONAI's encoders do what every backbone must do."""

from __future__ import annotations

from ssl3d.testing.backbone import BackboneConformance
from ssl3d_plugins.monai_encoders import Monai, ResNet, SegResNet

TINY = {"block_inplanes": (4, 4, 4, 6), "conv1_t_size": 3}


class TestSegResNetGroupNorm(BackboneConformance):
    config = Monai(network=SegResNet(init_filters=4, num_groups=2, blocks_down=(1, 2, 1)))


class TestSegResNetInstanceNorm(BackboneConformance):
    config = Monai(network=SegResNet(init_filters=4, blocks_down=(1, 1, 0), norm="instance"))


class TestSegResNetBatchNorm(BackboneConformance):
    config = Monai(
        network=SegResNet(init_filters=4, blocks_down=(0, 1, 1), norm="batch", act="gelu")
    )


class TestResNetBasicBlocks(BackboneConformance):
    multiples = (1,)
    config = Monai(network=ResNet(depth=10, **TINY, conv1_t_stride=(1, 1, 2)))


class TestResNetBottlenecks(BackboneConformance):
    multiples = (1,)
    config = Monai(network=ResNet(depth=50, **TINY, no_max_pool=True, bias_downsample=False))
