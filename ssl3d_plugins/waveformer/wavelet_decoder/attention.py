"""Attention of one dense map to another, over all of their sites."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.waveformer.initial import init_linear
from ssl3d_plugins.waveformer.positions import rotate, turns
from ssl3d_plugins.waveformer.tokens import raster


class MapAttention(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017) with 3D rotary positions.

    Args:
        channels: width, C.
        heads: they divide C.
    """

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.apply(init_linear)

    def forward(self, x: Tensor, *, memory: Tensor) -> Tensor:
        """What sites of `x` (B, d, h, w, C) find in those of `memory`, of the same shape."""
        _, d, h, w, _ = x.shape
        places = raster((d, h, w), device=x.device)

        def split(rows: Tensor) -> Tensor:
            """To (B, heads, n, C / heads)."""
            return torch.unflatten(rows.flatten(1, 3), 2, (self.heads, -1)).transpose(1, 2)

        key, value = self.key_value(memory).chunk(2, -1)
        by = turns(places, channels=key.shape[-1] // self.heads, dtype=key.dtype)
        q, k = rotate(split(self.query(x)), by=by), rotate(split(key), by=by)
        found = F.scaled_dot_product_attention(q, k, split(value))
        mixed: Tensor = self.out(found.transpose(1, 2).flatten(2).view_as(x))
        return mixed
