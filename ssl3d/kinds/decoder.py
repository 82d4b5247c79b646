"""A decoder: what restores the volume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ssl3d.sparse import FeatureMap


class DecoderOutput(NamedTuple):
    """What a decoder makes of a batch.

    Attributes:
        features: (B, F, d, h, w), the finest dense map, hidden sites included.
        volume: (B, C, D, H, W), the restored volume, in units of the target; a downstream task has
            one channel here for each of its outputs.
        deep: the same at coarser scales, fine to coarse, where the decoder is supervised deeply.
    """

    features: Tensor
    volume: Tensor
    deep: tuple[Tensor, ...] = ()


class Decoder(nn.Module, ABC):
    """Restores a volume from the feature maps of what is visible.

    Attributes:
        heads: patterns of the names of parameters whose shapes follow from `out_channels`: another
            task has others.
    """

    heads: ClassVar[tuple[str, ...]] = ("head.*",)

    @abstractmethod
    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """Feature maps of a backbone, fine to coarse, to dense features and the restored volume."""
