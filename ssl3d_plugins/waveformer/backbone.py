"""The WaveFormer encoder."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Triple
from ssl3d.kinds.backbone import Backbone, Details
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import rising
from ssl3d.weights import TransferReport
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.published import encoder_from_published, is_published
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
        rates = iter(rising(config.drop_path, blocks=sum(config.stage_depths)))
        self.layers = nn.ModuleList(
            WaveFormerStage(config, plan=stage, drop_path=[next(rates) for _ in stage.blocks])
            for stage in config.plan(in_channels=in_channels)
        )

    def forward(  # type: ignore[override]
        self, volume: FeatureMap, *, details: bool = False
    ) -> tuple[FeatureMap, ...] | tuple[tuple[FeatureMap, ...], Details]:
        """One feature map per stage, fine to coarse, of the kind that was given.

        Args:
            volume: (B, in_channels, D, H, W), or its visible cells.
            details: give a pair: the feature maps, and the details of each stage.

        Raises:
            ValueError: another number of channels, or a size or cell that the total stride, or a
                block of the wavelet levels, does not divide.
        """
        maps, handed_on = [], []
        for layer in self.layers:
            volume, found = layer(volume, details=details)
            maps.append(self._normed(volume) if self.config.norms_output else volume)
            handed_on.append(found)
        return (tuple(maps), tuple(handed_on)) if details else tuple(maps)

    def _normed(self, x: FeatureMap) -> FeatureMap:
        boxes = boxes_of(x)
        return like(x, F.layer_norm(boxes, boxes.shape[-1:]))

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """As every backbone, and from the public network's checkpoints, without their decoder."""
        if not is_published(weights):
            return super().load_weights(weights)
        if not self.config.published:
            raise ValueError(
                "these weights are of WaveFormer's public network, which this encoder mends in "
                "eight ways: give the backbone preset paper and published true"
            )
        return encoder_from_published(weights, backbone=self)

    @property
    def divisor(self) -> Triple:
        """What the edges of a volume, and of a cell, must be multiples of, in voxels."""
        return self.config.divisor
