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
from ssl3d_plugins.waveformer.plan import BlockPlan, StagePlan
from ssl3d_plugins.waveformer.positions import REACH
from ssl3d_plugins.waveformer.pyramid_mixer import PyramidMixer
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer


def make_mixer(config: WaveFormer, *, plan: BlockPlan) -> HaarMixer | WaveletMixer | PyramidMixer:
    """The token mixer of a block: fused where the options allow it."""
    everywhere = config.attention == "every_level"
    attention = TokenAttention(
        plan.width,
        heads=plan.heads,
        positions=config.positions,
        reach=max(config.window) - 1 if everywhere else REACH,
    )
    if everywhere:
        return PyramidMixer(plan.width, ups=plan.ups, attention=attention, window=config.window)
    details = make_details(config.details, plan=plan)
    if details is None and (is_haar(config.wavelet) or not any(plan.levels)):
        return HaarMixer(plan.width, levels=plan.levels, attention=attention)
    return WaveletMixer(
        plan.width,
        levels=plan.levels,
        attention=attention,
        wavelet=config.wavelet,
        details=details,
    )


class Block(nn.Module):
    """A token mixer, `x + mix(norm(x))`, then `x + FFN(norm(x))`."""

    def __init__(self, config: WaveFormer, *, plan: BlockPlan) -> None:
        super().__init__()
        self.mixer = make_mixer(config, plan=plan)
        self.ffn = FeedForward(plan, kind=config.ffn)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        y: FeatureMap = self.ffn(self.mixer(x))
        return y


class WaveFormerStage(nn.Module):
    """Patch embedding or merging, then the blocks of one resolution."""

    def __init__(self, config: WaveFormer, *, plan: StagePlan) -> None:
        super().__init__()
        self.reduce = PatchConv.of(plan.reduce)
        self.blocks = nn.Sequential(*(Block(config, plan=block) for block in plan.blocks))

    def forward(self, x: FeatureMap) -> FeatureMap:
        """The next coarser feature map."""
        y: FeatureMap = self.blocks(self.reduce(x))
        return y
