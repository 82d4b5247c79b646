"""One resolution of the backbone, and its blocks."""

from __future__ import annotations

from torch import nn

from ssl3d.sparse import FeatureMap
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.details import make_details
from ssl3d_plugins.waveformer.ffn import FeedForward
from ssl3d_plugins.waveformer.mixer import HaarMixer
from ssl3d_plugins.waveformer.names import is_haar
from ssl3d_plugins.waveformer.patch import PatchConv
from ssl3d_plugins.waveformer.positions import REACH
from ssl3d_plugins.waveformer.pyramid_mixer import PyramidMixer
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer


def make_mixer(config: WaveFormer, *, index: int) -> HaarMixer | WaveletMixer | PyramidMixer:
    """The token mixer of stage `index`: fused where the options allow it."""
    width, levels = config.widths[index], config.stage_levels[index]
    everywhere = config.attention == "every_level"
    attention = TokenAttention(
        width,
        heads=config.stage_heads[index],
        positions=config.positions,
        reach=max(config.window) - 1 if everywhere else REACH,
    )
    if everywhere:
        return PyramidMixer(width, levels=levels, attention=attention, window=config.window)
    details = make_details(config.details, channels=width, levels=levels)
    if details is None and (is_haar(config.wavelet) or not any(levels)):
        return HaarMixer(width, levels=levels, attention=attention)
    return WaveletMixer(
        width, levels=levels, attention=attention, wavelet=config.wavelet, details=details
    )


class Block(nn.Module):
    """A token mixer, `x + mix(norm(x))`, then `x + FFN(norm(x))`."""

    def __init__(self, config: WaveFormer, *, index: int) -> None:
        super().__init__()
        self.mixer = make_mixer(config, index=index)
        width, hidden = config.widths[index], config.hidden_widths[index]
        self.ffn = FeedForward(width, hidden=hidden, kind=config.ffn)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        y: FeatureMap = self.ffn(self.mixer(x))
        return y


class WaveFormerStage(nn.Module):
    """Patch embedding or merging, then the blocks of one resolution."""

    def __init__(self, config: WaveFormer, *, index: int, in_channels: int) -> None:
        super().__init__()
        self.reduce = PatchConv(in_channels, config.widths[index], stride=config.factors[index])
        self.blocks = nn.Sequential(
            *(Block(config, index=index) for _ in range(config.stage_depths[index]))
        )

    def forward(self, x: FeatureMap) -> FeatureMap:
        """The next coarser feature map."""
        y: FeatureMap = self.blocks(self.reduce(x))
        return y
