"""One resolution of the backbone, and its blocks."""

from __future__ import annotations

from torch import nn

from ssl3d.volume import FeatureMap
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.details import make_details
from ssl3d_plugins.waveformer.ffn import FeedForward
from ssl3d_plugins.waveformer.mixer import HaarMixer
from ssl3d_plugins.waveformer.names import is_haar
from ssl3d_plugins.waveformer.patch import PatchConv
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer


class Block(nn.Module):
    """`x + IDWT(attention(LLL of DWT(norm(x))), details)`, then `x + FFN(norm(x))`."""

    def __init__(self, config: WaveFormer, *, index: int) -> None:
        super().__init__()
        width, levels = config.widths[index], config.stage_levels[index]
        attention = TokenAttention(
            width, heads=config.stage_heads[index], positions=config.positions
        )
        details = make_details(config.details, channels=width, levels=levels)
        self.mixer: HaarMixer | WaveletMixer
        if details is None and (is_haar(config.wavelet) or not any(levels)):
            self.mixer = HaarMixer(width, levels=levels, attention=attention)
        else:
            self.mixer = WaveletMixer(
                width, levels=levels, attention=attention, wavelet=config.wavelet, details=details
            )
        self.ffn = FeedForward(width, hidden=config.hidden_widths[index], kind=config.ffn)

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
