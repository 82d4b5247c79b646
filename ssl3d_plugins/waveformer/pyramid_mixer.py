"""The token mixer of the published network: attention on every wavelet level."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ssl3d.geometry import Triple, times
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.plan import UpPlan
from ssl3d_plugins.waveformer.upsample import up_twice
from ssl3d_plugins.waveformer.wavelet import block_mean, split_blocks
from ssl3d_plugins.waveformer.windows import windows_of


class PyramidMixer(nn.Module):
    """`x + sum over levels of upsample(attention(LLL of that level))` of norm(x).

    Windows of a fixed number of tokens on each level, with the same weights on all; at level 0 on
    the map itself. Source: WaveFormer, arXiv 2503.23764, section 3. Unlike there, attention reads
    block means (see `HaarMixer`), and a level is up-sampled by 2 as often as it is deep, which lets
    the levels share that work and keeps hidden sites out.
    """

    def __init__(
        self, channels: int, *, ups: Sequence[UpPlan], attention: TokenAttention, window: Triple
    ) -> None:
        super().__init__()
        self.ups = tuple(ups)
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.attention = attention

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        boxes = boxes_of(x)
        normed: Tensor = self.norm(boxes)
        if not self.ups:
            return like(x, boxes + self._attend(like(x, normed)))
        pyramid = [like(x, normed)]
        for up in self.ups:
            pyramid.append(coarser(pyramid[-1], factor=up.features.stride))
        total: FeatureMap | None = None
        for level, up in zip(reversed(pyramid[1:]), reversed(self.ups), strict=True):
            mixed = self._attend(level)
            if total is not None:
                mixed = mixed + boxes_of(total)
            total = up_twice(like(level, mixed), up=up)
        assert total is not None
        return like(x, boxes + boxes_of(total))

    def _attend(self, x: FeatureMap) -> Tensor:
        """(M, d, h, w, C): each site with the others of its window."""
        boxes = boxes_of(x)
        windows = windows_of(x, window=self.window)
        mixed: Tensor = self.attention(boxes.flatten(0, 3), windows)
        return mixed.view_as(boxes)


def coarser(x: FeatureMap, *, factor: Triple) -> FeatureMap:
    """The Haar approximation one level up, as a mean; axes with factor 1 stay."""
    z, y, x_ = (f - 1 for f in factor)
    mean = block_mean(split_blocks(boxes_of(x), levels=(z, y, x_)))
    if isinstance(x, SparseVolume):
        return x.with_features(mean, stride=times(x.stride, factor))
    return like(x, mean)
