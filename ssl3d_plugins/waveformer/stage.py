"""One resolution of the backbone, and its blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ssl3d.geometry import Triple, times
from ssl3d.precision import single_in_autocast
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import DropPath
from ssl3d.sparse.layers.pointwise import elementwise
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.boxes import boxes_of, like
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.details import make_details
from ssl3d_plugins.waveformer.ffn import FeedForward
from ssl3d_plugins.waveformer.levels import factors_of
from ssl3d_plugins.waveformer.mixer import HaarMixer
from ssl3d_plugins.waveformer.names import is_haar
from ssl3d_plugins.waveformer.patch import PatchConv
from ssl3d_plugins.waveformer.plan import BlockPlan, StagePlan
from ssl3d_plugins.waveformer.positions import REACH
from ssl3d_plugins.waveformer.published_merging import PublishedMerging
from ssl3d_plugins.waveformer.published_mixer import PublishedMixer
from ssl3d_plugins.waveformer.pyramid_mixer import PyramidMixer
from ssl3d_plugins.waveformer.wavelet import analyse
from ssl3d_plugins.waveformer.wavelet_mixer import WaveletMixer

PUBLISHED_EPS = 1e-6
"""Of the layer norms of the public code, but for those inside its FFN."""

Mixer = HaarMixer | WaveletMixer | PyramidMixer | PublishedMixer


def make_mixer(config: WaveFormer, *, plan: BlockPlan) -> Mixer:
    """The token mixer of a block: fused where the options allow it."""
    everywhere = config.attention == "every_level"
    attention = TokenAttention(
        plan.width,
        heads=plan.heads,
        positions=config.positions,
        reach=max(config.tokens) - 1 if everywhere else REACH,
        shared=config.published,
    )
    if config.published:
        return PublishedMixer(
            plan.width,
            levels=plan.levels,
            attention=attention,
            window=config.tokens,
            eps=PUBLISHED_EPS,
        )
    if everywhere:
        return PyramidMixer(plan.width, ups=plan.ups, attention=attention, window=config.tokens)
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
    """A token mixer, `x + mix(norm(x))`, then `x + FFN(norm(x))`.

    In training a sample may go without what one of them adds.
    """

    def __init__(self, config: WaveFormer, *, plan: BlockPlan, drop_path: float) -> None:
        super().__init__()
        self.levels = plan.levels
        self.mixer = make_mixer(config, plan=plan)
        self.ffn = (
            FeedForward(plan, kind=config.ffn, eps=PUBLISHED_EPS, again=True)
            if config.published
            else FeedForward(plan, kind=config.ffn)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        for part in (self.mixer, self.ffn):
            x = self._in_part(x, part(x))
        return x

    def _in_part(self, x: FeatureMap, changed: FeatureMap) -> FeatureMap:
        """What the part added, scaled for each sample, or not at all."""
        share = self.drop_path.share(x)
        if share is None:
            return changed
        before, after = boxes_of(x), boxes_of(changed)
        return like(x, before + (after - before) * share.to(after.dtype))

    def details(self, x: FeatureMap) -> tuple[FeatureMap, ...]:
        """The Haar details of norm(x), of each level, fine to coarse; `Details` says how they lie.

        Those that attention leaves alone, before `DetailLayer`, as the published network keeps
        them (arXiv 2503.23764).
        """
        rest: Tensor = self.mixer.norm(boxes_of(x))
        stride: Triple = (1, 1, 1)
        found: list[FeatureMap] = []
        for factor in factors_of(self.levels):
            rest, bands = analyse(rest, factor=factor)
            stride = times(stride, factor)
            if isinstance(x, SparseVolume):
                found.append(x.with_features(bands, stride=times(x.stride, stride)))
            else:
                found.append(like(x, bands))
        return tuple(found)


class WaveFormerStage(nn.Module):
    """Patch embedding or merging, then the blocks of one resolution."""

    def __init__(self, config: WaveFormer, *, plan: StagePlan, drop_path: Sequence[float]) -> None:
        super().__init__()
        before, width = plan.channels
        self.reduce = (
            PublishedMerging(before, out_channels=width, eps=PUBLISHED_EPS)
            if plan.reduce is None
            else PatchConv.of(plan.reduce)
        )
        self.blocks = nn.ModuleList(
            Block(config, plan=block, drop_path=rate)
            for block, rate in zip(plan.blocks, drop_path, strict=True)
        )

    def forward(
        self, x: FeatureMap, *, details: bool = False
    ) -> tuple[FeatureMap, tuple[FeatureMap, ...]]:
        """The next coarser feature map, and where they are asked for the last block's details."""
        x = elementwise(self.reduce(x), single_in_autocast)
        found: tuple[FeatureMap, ...] = ()
        for block in self.blocks:
            assert isinstance(block, Block)
            if details and block is self.blocks[-1]:
                found = block.details(x)
            x = block(x)
        return x, found
