"""What a block does to the detail sub-bands. Each starts as doing nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from ssl3d.geometry import Triple, times
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import Conv3d
from ssl3d_plugins.waveformer.boxes import boxes_of
from ssl3d_plugins.waveformer.levels import axes_at, block_of, full_name
from ssl3d_plugins.waveformer.plan import BandPlan, BlockPlan
from ssl3d_plugins.waveformer.wavelet.transform import Decomposition

DetailKind = Literal["identity", "mlp", "depthwise"]


class DetailLayer(nn.Module, ABC):
    """Adds to each sub-band a function of it."""

    def forward(self, bands: Decomposition, x: FeatureMap) -> Decomposition:
        """The same decomposition of `x`, (M, C, d, h, w), with other details."""
        details = []
        depth = len(bands.details)
        for level in bands.details:
            axes = axes_at(bands.levels, depth)
            reached = [min(depth, most) for most in bands.levels]
            block = block_of((reached[0], reached[1], reached[2]))
            details.append(
                {
                    name: band + self.change(band, full_name(name, axes=axes), block=block, x=x)
                    for name, band in level.items()
                }
            )
            depth -= 1
        return replace(bands, details=tuple(details))

    @abstractmethod
    def change(self, band: Tensor, name: str, *, block: Triple, x: FeatureMap) -> Tensor:
        """What is added to `band` (M, C, d, h, w), which has a coefficient for each block of x."""


class MlpDetails(DetailLayer):
    """One pointwise MLP for all sub-bands and levels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def change(self, band: Tensor, name: str, *, block: Triple, x: FeatureMap) -> Tensor:  # noqa: ARG002
        """Each coefficient by itself."""
        changed: Tensor = self.layers(band.movedim(1, -1))
        return changed.movedim(-1, 1)


class DepthwiseDetails(DetailLayer):
    """A depthwise 3 x 3 x 3 convolution for each orientation, shared by the levels."""

    def __init__(self, bands: Sequence[BandPlan]) -> None:
        super().__init__()
        self.convs = nn.ModuleDict(
            {band.name: Conv3d.of(band.convolution, bias=False) for band in bands}
        )
        for conv in self.convs.values():
            assert isinstance(conv, Conv3d)
            nn.init.zeros_(conv.weight)

    def change(self, band: Tensor, name: str, *, block: Triple, x: FeatureMap) -> Tensor:
        """Neighbouring coefficients, across visible cells."""
        if not isinstance(x, SparseVolume):
            changed: Tensor = self.convs[name](band)
            return changed
        boxes = band.movedim(1, -1).contiguous()
        at_level = x.with_features(boxes, stride=times(x.stride, block))
        return boxes_of(self.convs[name](at_level)).movedim(-1, 1)


def make_details(kind: DetailKind, *, plan: BlockPlan) -> DetailLayer | None:
    """The layer, or None where details stay as they are, or where there are none."""
    if kind == "identity" or not any(plan.levels):
        return None
    return MlpDetails(plan.width) if kind == "mlp" else DepthwiseDetails(plan.bands)
