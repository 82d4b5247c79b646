"""The token mixer of a block: attention over the coarsest wavelet approximation."""

from __future__ import annotations

from torch import Tensor, nn

from ssl3d.geometry import Triple
from ssl3d.sparse import FeatureMap
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.levels import block_of
from ssl3d_plugins.waveformer.tokens import tokens_of
from ssl3d_plugins.waveformer.wavelet import (
    add_to_blocks_,
    block_mean,
    join_blocks,
    split_blocks,
)


class HaarMixer(nn.Module):
    """`x + IDWT(attention(LLL), details)` of norm(x), for Haar and untouched details.

    Attention reads and writes the block mean. The orthonormal LLL is 2^(levels/2) times larger (22
    times at level 3) and would saturate the softmax from the start.
    """

    def __init__(self, channels: int, *, levels: Triple, attention: TokenAttention) -> None:
        super().__init__()
        self.levels = levels
        self.norm = nn.LayerNorm(channels)
        self.attention = attention

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        tokens = tokens_of(x, block=block_of(self.levels))
        blocks = split_blocks(boxes_of(x), levels=self.levels)
        normed: Tensor = self.norm(blocks)
        mean = block_mean(normed)
        new = self.attention(mean.flatten(0, 3), tokens).view_as(mean)
        # The backward pass needs none of these values, so the sums can be made in place.
        mixed = add_to_blocks_(normed, tokens=new - mean)
        mixed += blocks
        return like(x, join_blocks(mixed))
