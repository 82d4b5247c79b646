"""The WaveFormer encoder."""

from __future__ import annotations

from torch import nn

from ssl3d.geometry import Triple, divides, show
from ssl3d.interfaces import Backbone
from ssl3d.volume import FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.attention import TokenAttention
from ssl3d_plugins.waveformer.config import WaveFormer
from ssl3d_plugins.waveformer.ffn import FeedForward
from ssl3d_plugins.waveformer.levels import block_of
from ssl3d_plugins.waveformer.mixer import HaarMixer
from ssl3d_plugins.waveformer.patch import PatchConv
from ssl3d_plugins.waveformer.tokens import Tokens, tokens_of


class Block(nn.Module):
    """`x + IDWT(attention(LLL of DWT(norm(x))), details)`, then `x + FFN(norm(x))`."""

    def __init__(self, mixer: nn.Module, *, ffn: FeedForward) -> None:
        super().__init__()
        self.mixer = mixer
        self.ffn = ffn

    def forward(self, x: FeatureMap, tokens: Tokens) -> FeatureMap:
        """Same shape as the input."""
        y: FeatureMap = self.ffn(self.mixer(x, tokens))
        return y


class WaveFormerStage(nn.Module):
    """Patch embedding or merging, then the blocks of one resolution."""

    def __init__(self, config: WaveFormer, *, index: int, in_channels: int) -> None:
        super().__init__()
        width, self.levels = config.widths[index], config.stage_levels[index]
        self.reduce = PatchConv(in_channels, width, stride=config.factors[index])
        self.blocks = nn.ModuleList(
            make_block(config, index=index) for _ in range(config.stage_depths[index])
        )

    def forward(self, x: FeatureMap) -> FeatureMap:
        """The next coarser feature map."""
        x = self.reduce(x)
        tokens = tokens_of(x, block=block_of(self.levels))
        for block in self.blocks:
            x = block(x, tokens)
        return x


def make_block(config: WaveFormer, *, index: int) -> Block:
    """A block of stage `index`."""
    width = config.widths[index]
    attention = TokenAttention(width, heads=config.stage_heads[index], positions=config.positions)
    mixer = HaarMixer(width, levels=config.stage_levels[index], attention=attention)
    return Block(mixer, ffn=FeedForward(width, hidden=config.hidden_widths[index], kind=config.ffn))


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
        before = (in_channels, *config.widths)
        self.layers = nn.ModuleList(
            WaveFormerStage(config, index=i, in_channels=before[i])
            for i in range(len(config.widths))
        )
        self.apply(init_weights)

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map per stage, fine to coarse, of the kind that was given.

        Args:
            volume: (B, in_channels, D, H, W), or its visible cells.

        Raises:
            ValueError: another number of channels, or a size or cell that the total stride, or a
                block of the wavelet levels, does not divide.
        """
        self._check(volume)
        maps = []
        for layer in self.layers:
            volume = layer(volume)
            maps.append(volume)
        return tuple(maps)

    def _check(self, volume: FeatureMap) -> None:
        if isinstance(volume, SparseVolume):
            what, size, channels = "cell", volume.cells.cell, volume.channels
        else:
            if volume.dim() != 5:
                raise ValueError(f"volume has shape {tuple(volume.shape)}, not (B, C, D, H, W)")
            what, channels = "volume", volume.shape[1]
            size = (volume.shape[2], volume.shape[3], volume.shape[4])
        if channels != self.in_channels:
            raise ValueError(
                f"volume has {channels} channels; this backbone was built for {self.in_channels}"
            )
        needed = self.divisor
        if not divides(needed, size):
            raise ValueError(
                f"{what} of {show(size)} voxels: each edge must be a multiple of {show(needed)}, "
                "the backbone's total stride and wavelet blocks: crop or pad the volume"
            )

    @property
    def divisor(self) -> Triple:
        """What the edges of a volume, and of a cell, must be multiples of, in voxels."""
        return self.config.divisor


def init_weights(module: nn.Module) -> None:
    """Truncated normal for linear maps, with which logits start near 0 at every level."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
