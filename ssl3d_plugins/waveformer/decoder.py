"""The decoder `waveformer`: up through inverse wavelet transforms with the encoder's details."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple, quotient
from ssl3d.kinds.backbone import Details
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import Conv3d, ConvTranspose3d
from ssl3d_plugins.waveformer.decoder_blocks import (
    ProjectionUp,
    Recalibration,
    Refinement,
    ResidualBlock,
    joined,
)
from ssl3d_plugins.waveformer.decoder_config import WaveFormerUNet, factor
from ssl3d_plugins.waveformer.wavelet import synthesise


class InverseBranch(nn.Module):
    """From the deepest map to one stage: conv 3³, inverse transforms, the stage beside it, a block.

    Args:
        stage: to which it goes.
        deepest: channels of the map.
        refine: gate each sub-band first.
    """

    def __init__(self, stage: Stage, *, deepest: int, refine: bool) -> None:
        super().__init__()
        path = (stage, *stage.details)
        steps = (factor(fine, coarse) for fine, coarse in pairwise(path))
        self.factors = [step for step in steps if step is not None][::-1]
        self.smooth = Conv3d(deepest, stage.channels, kernel=3, bias=False)
        self.refine = nn.ModuleList(Refinement(stage.channels) for _ in self.factors if refine)
        self.block = ResidualBlock(2 * stage.channels, out_channels=stage.channels)

    def forward(self, deepest: Tensor, *, skip: Tensor, details: Sequence[Tensor]) -> Tensor:
        """(B, C, d, h, w) of the deepest stage and details, fine to coarse, to the stage's size."""
        x = self.smooth(deepest).movedim(1, -1)
        for i, (bands, step) in enumerate(zip(reversed(details), self.factors, strict=True)):
            if len(self.refine):
                each = torch.unflatten(bands, 1, (-1, x.shape[-1])).flatten(0, 1)
                bands = self.refine[i](each).view_as(bands)
            x = synthesise(x, bands.movedim(1, -1), factor=step)
        restored: Tensor = self.block(joined(x.movedim(-1, 1), skip))
        return restored


class WaveFormerUNetDecoder(Decoder):
    """See `WaveFormerUNet` for the options.

    Source: WaveFormer, arXiv 2503.23764, section 3.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse.
        out_channels: of the restored volume.
        sparse: hidden sites are zero: it has no tokens in either case.
        in_channels: of the volume.

    Raises:
        ValueError: the backbone does not say its input channels.
    """

    def __init__(
        self,
        config: WaveFormerUNet,
        *,
        stages: Sequence[Stage],
        out_channels: int,
        sparse: bool,  # noqa: ARG002
        in_channels: int | None,
    ) -> None:
        super().__init__()
        if in_channels is None:
            raise ValueError(
                "waveformer reads the volume, and this backbone does not say how many channels "
                "it has: give it `in_channels`, or use another decoder"
            )
        *finer, deepest = stages
        first = finer[0]
        width = first.channels
        self.stem = ResidualBlock(in_channels, out_channels=width)
        self.skips = nn.ModuleList(
            ResidualBlock(stage.channels, out_channels=stage.channels) for stage in finer
        )
        self.recalibrate = Recalibration(deepest.channels)
        self.branches = nn.ModuleList(
            InverseBranch(stage, deepest=deepest.channels, refine=config.refine_details)
            for stage in finer
        )
        self.ups = nn.ModuleList(
            ProjectionUp(
                stage.channels,
                out_channels=width,
                factor=quotient(stage.stride, first.stride),
                twice=i > 1,
            )
            for i, stage in enumerate(finer[1:], start=1)
        )
        to_voxels: Triple = first.stride
        self.up = ConvTranspose3d(
            len(finer) * width, width, kernel=to_voxels, stride=to_voxels, bias=False
        )
        self.last = ResidualBlock(2 * width, out_channels=width)
        self.head = Conv3d(width, out_channels, kernel=1)

    def forward(  # type: ignore[override]
        self, stages: Sequence[FeatureMap], *, details: Details, volume: FeatureMap
    ) -> DecoderOutput:
        """Feature maps, fine to coarse, to full resolution; what is hidden is zero."""
        *finer, deepest = map(dense, stages)
        deepest = self.recalibrate(deepest)
        found = [
            branch(deepest, skip=block(x), details=[dense(level) for level in levels])
            for branch, block, x, levels in zip(
                self.branches, self.skips, finer, details, strict=False
            )
        ]
        ups = [up(x) for up, x in zip(self.ups, found[1:], strict=True)]
        x: Tensor = self.up(joined(*reversed(ups), found[0]))
        x = self.last(joined(x, self.stem(dense(volume))))
        return DecoderOutput(features=x, volume=self.head(x))


def dense(x: FeatureMap) -> Tensor:
    """(B, C, D, H, W), zero where cells are hidden."""
    return x.to_dense() if isinstance(x, SparseVolume) else x
