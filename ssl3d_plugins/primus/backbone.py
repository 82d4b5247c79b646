"""nnU-Net's transformer as a backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import Conv3d
from ssl3d.weights import TransferReport
from ssl3d_plugins.primus.config import Primus
from ssl3d_plugins.primus.eva import EvaStack
from ssl3d_plugins.primus.package import from_package


class PrimusBackbone(Backbone):
    """Patch embedding and EVA-02 blocks; tensors are named as in `PrimusS` to `PrimusL`.

    Source: Primus, arXiv 2503.01835, section 3; dynamic_network_architectures 0.4.4.

    Args:
        config: the options.
        in_channels: channels of the volume.
    """

    def __init__(self, config: Primus, *, in_channels: int) -> None:
        super().__init__()
        self.config = config
        self.stages = config.stages()
        self.in_channels = in_channels
        embedding = Conv3d.of(config.embedding(in_channels=in_channels))
        nn.init.kaiming_normal_(embedding.weight, a=1e-2)
        assert embedding.bias is not None
        nn.init.zeros_(embedding.bias)
        self.down_projection = nn.Sequential(OrderedDict(proj=embedding))
        self.eva = EvaStack(
            config.width,
            depth=config.depth,
            heads=config.heads,
            grid=config.grid,
            drop_path=config.drop_path,
        )

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """(B, C, D, H, W) or its visible cells to one feature map, a site for each token."""
        return (self.eva(self.down_projection(volume)),)

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """As every backbone, and from checkpoints of Primus, whose decoder is left out.

        A table of positions of another cube of tokens is interpolated; the report says so.
        """
        return from_package(weights, backbone=self)
