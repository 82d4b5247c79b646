"""The decoder `eva`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ssl3d.geometry import Stage, Triple
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d.sparse.layers import PatchUp
from ssl3d_plugins.primus.eva import EvaStack
from ssl3d_plugins.primus.eva_config import Eva


class EvaDecoder(Decoder):
    """See `Eva` for the options.

    Source: nnssl's `EvaMAE`, whose initial values it has.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse; it reads the last one.
        out_channels: of the volume.
        sparse: False where the stages are dense maps.
    """

    heads = ("voxels.*",)

    def __init__(
        self, config: Eva, *, stages: Sequence[Stage], out_channels: int, sparse: bool
    ) -> None:
        super().__init__()
        deepest = stages[-1]
        self.token = nn.Parameter(torch.empty(deepest.channels)) if sparse else None
        if self.token is not None:
            nn.init.normal_(self.token, std=1e-6)
        z, y, x = (max(v // s, 1) for v, s in zip(config.volume, deepest.stride, strict=True))
        grid: Triple = (z, y, x)
        self.eva = EvaStack(
            deepest.channels,
            depth=config.depth,
            heads=config.heads_of(deepest.channels),
            grid=grid,
            drop_path=config.drop_path,
        )
        self.voxels = PatchUp(deepest, out_channels=out_channels)

    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """The deepest map to the scale before the voxels, and the volume at full resolution."""
        x = stages[-1]
        if isinstance(x, SparseVolume):
            x = x.to_dense(fill=self.token)
        return DecoderOutput(*self.voxels(self.eva(x)))
