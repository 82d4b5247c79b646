"""Patch merging exactly as the authors' public code has it."""

from __future__ import annotations

import torch
from torch import nn

from ssl3d.geometry import Triple, times
from ssl3d.sparse import FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.boxes import boxes_of, like

PLACES = (
    (0, 0, 0),
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (1, 0, 1),
    (0, 1, 0),
    (0, 0, 1),
    (1, 1, 1),
)
"""Of a block's 2³ sites, as MONAI 0.9 lists them: two are there twice, and two are not."""

FACTOR: Triple = (2, 2, 2)


class PublishedMerging(nn.Module):
    """Sites of a block behind each other, layer norm, and a linear map without bias."""

    def __init__(self, channels: int, *, out_channels: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(len(PLACES) * channels, eps=eps)
        self.linear = nn.Linear(len(PLACES) * channels, out_channels, bias=False)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """The next coarser feature map."""
        boxes = boxes_of(x)
        parts = [boxes[:, z::2, y::2, x_::2] for z, y, x_ in PLACES]
        merged = self.linear(self.norm(torch.cat(parts, -1)))
        if isinstance(x, SparseVolume):
            return x.with_features(merged, stride=times(x.stride, FACTOR))
        return like(x, merged)
