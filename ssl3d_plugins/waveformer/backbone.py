"""The WaveFormer encoder."""

from __future__ import annotations

from torch import nn

from ssl3d.geometry import Triple
from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import FeatureMap
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.stage import WaveFormerStage


class WaveFormerBackbone(Backbone):
    """Stages of wavelet attention, for volumes of any size that the total stride divides.

    Source: WaveFormer, arXiv 2503.23764, section 3.

    Args:
        config: the options.
        in_channels: channels of the volume.
    """

    def __init__(self, config: WaveFormer, *, in_channels: int) -> None:
        super().__init__()
        self.config = config
        self.stages = config.stages()
        self.in_channels = in_channels
        self.layers = nn.ModuleList(
            WaveFormerStage(config, plan=stage) for stage in config.plan(in_channels=in_channels)
        )

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, fine to coarse, of the kind that was given.

        Args:
            volume: (B, in_channels, D, H, W), or its visible cells.

        Raises:
            ValueError: another number of channels, or a size or cell that the total stride, or a
                block of the wavelet levels, does not divide.
        """
        maps = []
        for layer in self.layers:
            volume = layer(volume)
            maps.append(volume)
        return tuple(maps)

    @property
    def divisor(self) -> Triple:
        """What the edges of a volume, and of a cell, must be multiples of, in voxels."""
        return self.config.divisor
