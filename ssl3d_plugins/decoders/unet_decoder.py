"""The decoder `unet`: up by transposed convolutions, joined with the encoder's stages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Stage, Triple, quotient
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import Conv3d, ConvTranspose3d, Densify, make_norm
from ssl3d_plugins.decoders.unet_config import UNet

SLOPE = 0.01
"""Of the leaky ReLU, as in nnU-Net."""


class UpBlock(nn.Module):
    """Transposed convolution (kernel = stride), the skip beside it, then conv - norm - leaky ReLU.

    Args:
        coarse: the scale that it comes from.
        fine: the scale that it goes to.
        skip: channels of the encoder's stage there, 0 where there is none.
        config: the options.
    """

    def __init__(self, coarse: Stage, *, fine: Stage, skip: int, config: UNet) -> None:
        super().__init__()
        factor = quotient(coarse.stride, fine.stride)
        self.up = ConvTranspose3d(coarse.channels, fine.channels, kernel=factor, stride=factor)
        widths = [fine.channels + skip, *(fine.channels,) * (config.blocks + 1)]
        self.block = nn.Sequential()
        for before, width in pairwise(widths):
            self.block.append(Conv3d(before, width, kernel=3, bias=False))
            self.block.append(make_norm(config.norm, width))
            self.block.append(nn.LeakyReLU(SLOPE, inplace=True))

    def forward(self, x: Tensor, *, skip: Tensor | None) -> Tensor:
        """(B, C, d, h, w) of the coarse scale to the fine one."""
        x = self.up(x)
        out: Tensor = self.block(x if skip is None else torch.cat([x, skip], 1))
        return out


class UNetDecoder(Decoder):
    """See `UNet` for the options.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse.
        out_channels: of the volume.
        sparse: False where the stages are dense maps.
    """

    heads = ("head.*", "deep.*")

    def __init__(
        self, config: UNet, *, stages: Sequence[Stage], out_channels: int, sparse: bool
    ) -> None:
        super().__init__()
        scales = config.scales(stages)
        self.densify = nn.ModuleList(
            Densify(s.channels, width=s.channels, kernel=1, norm=None, token=sparse) for s in stages
        )
        skips = [stage.channels for stage in reversed(stages)][1:]
        skips += [0] * (len(scales) - len(stages))
        self.ups = nn.ModuleList(
            UpBlock(coarse, fine=fine, skip=skip, config=config)
            for (coarse, fine), skip in zip(pairwise(scales), skips, strict=True)
        )
        self.head = Conv3d(scales[-1].channels, out_channels, kernel=1)
        deep = config.supervised(scales)
        self.deep = nn.ModuleList(Conv3d(s.channels, out_channels, kernel=1) for s in deep)
        self.out_stride: Triple = scales[-1].stride

    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """Feature maps, fine to coarse, to the finest scale and the volume at full resolution."""
        maps = [densify(x) for densify, x in zip(self.densify, stages, strict=True)]
        found = [maps.pop()]
        for up in self.ups:
            found.append(up(found[-1], skip=maps.pop() if maps else None))
        volume: Tensor = self.head(found[-1])
        if self.out_stride != (1, 1, 1):
            volume = F.interpolate(
                volume, scale_factor=[float(s) for s in self.out_stride], mode="trilinear"
            )
        # The next finer ones after the finest: `found` goes from coarse to fine.
        deep = tuple(head(x) for head, x in zip(self.deep, found[-2::-1], strict=False))
        return DecoderOutput(features=found[-1], volume=volume, deep=deep)
