"""The decoder `wavelet`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple, quotient
from ssl3d.kinds.backbone import Details
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import ConvTranspose3d, Densify, LayerNorm
from ssl3d_plugins.waveformer.checks import default_heads
from ssl3d_plugins.waveformer.levels import axes_at
from ssl3d_plugins.waveformer.wavelet import Bands
from ssl3d_plugins.waveformer.wavelet_decoder.block import WaveletAttentionDecoderBlock
from ssl3d_plugins.waveformer.wavelet_decoder.config import Wavelet


class WaveletDecoder(Decoder):
    """See `Wavelet` for the options.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse.
        out_channels: of the volume.
        sparse: False where the stages are dense maps.
    """

    def __init__(
        self, config: Wavelet, *, stages: Sequence[Stage], out_channels: int, sparse: bool
    ) -> None:
        super().__init__()
        used, widths = config.used(stages), config.widths(stages)
        self.densify = nn.ModuleList(
            Densify(stage.channels, width=width, kernel=1, norm="layer", token=sparse)
            for stage, width in zip(used, widths, strict=True)
        )
        self.ups = nn.ModuleList(
            ConvTranspose3d(c, f, kernel=factor, stride=factor)
            for (c, f), factor in zip(
                pairwise(widths),
                (quotient(c.stride, f.stride) for c, f in pairwise(used)),
                strict=True,
            )
        )
        parts = zip(used, widths, config.levels(stages), default_heads(widths), strict=True)
        self.scales = nn.ModuleList(
            Scale(config, stage=stage, width=width, levels=levels, heads=heads)
            for stage, width, levels, heads in parts
        )
        self.norm = LayerNorm(widths[-1])
        # Kernel = stride: a linear map from each site to its own voxels.
        self.head = ConvTranspose3d(
            widths[-1], out_channels, kernel=used[-1].stride, stride=used[-1].stride
        )

    def forward(
        self, stages: Sequence[FeatureMap], *, details: Details | None = None
    ) -> DecoderOutput:
        """Feature maps, fine to coarse, to the finest scale that is read and the volume."""
        handed_on = ((),) * len(stages) if details is None else details
        x: Tensor | None = None
        parts = zip(self.densify, self.scales, reversed(stages), reversed(handed_on), strict=False)
        for i, (densify, scale, stage, own) in enumerate(parts):
            dense = densify(stage)
            x = scale(
                dense if x is None else self.ups[i - 1](x), encoder_features=dense, details=own
            )
        assert x is not None
        features: Tensor = self.norm(x)
        return DecoderOutput(features=features, volume=self.head(features))


class Scale(nn.Module):
    """The block of one scale, and the projection of details that are handed on to it."""

    def __init__(
        self, config: Wavelet, *, stage: Stage, width: int, levels: Triple, heads: int
    ) -> None:
        super().__init__()
        self.levels = levels
        self.block = WaveletAttentionDecoderBlock(
            width,
            heads=heads,
            mlp_ratio=config.mlp_ratio,
            wavelet=config.wavelet,
            levels=levels,
            tokens=config.tokens,
        )
        handed_on = config.details == "handed_on" and any(levels)
        # Without a bias: what is zero, as all details of hidden cells, stays so.
        self.project = nn.Linear(stage.channels, width, bias=False) if handed_on else None

    def forward(
        self, x: Tensor, *, encoder_features: Tensor, details: Sequence[FeatureMap]
    ) -> Tensor:
        """Maps (B, C, D, H, W); `details` are those of each level, fine to coarse."""
        bands = None
        if self.project is not None:
            found = [
                self._bands(level, axes=axes_at(self.levels, depth))
                for depth, level in enumerate(details, start=1)
            ]
            bands = tuple(reversed(found))
        y: Tensor = self.block(x, encoder_features, details=bands)
        return y

    def _bands(self, level: FeatureMap, *, axes: tuple[int, ...]) -> Bands:
        """Sub-bands by name, of the decoder's width, from those that lie behind each other."""
        assert self.project is not None
        dense = level.to_dense() if isinstance(level, SparseVolume) else level
        names = ["".join(name) for name in itertools.product("ad", repeat=len(axes))][1:]
        bands = torch.unflatten(dense, 1, (len(names), -1)).movedim(2, -1)
        projected = self.project(bands).movedim(-1, 2).unbind(1)
        return dict(zip(names, projected, strict=True))
