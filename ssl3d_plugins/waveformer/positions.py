"""How attention knows where tokens stand. Positions count tokens, not voxels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.waveformer.tokens import Tokens

PositionKind = Literal["rope", "relative_bias", "none"]

# Wave lengths from 2π to 2π · BASE tokens: grids have some ten tokens an axis, not thousands.
BASE = 100.0
REACH = 7


def rotate(x: Tensor, *, coordinates: Tensor) -> Tensor:
    """Rotary positions on three axes (Su et al. 2021, section 3.2.2, for each axis apart).

    A head's channels are shared out evenly: 2 · (d // 6) for each axis, as pairs that turn with
    the coordinate, and the rest stays as it is. Of 16 channels, 4 turn for each axis.

    Args:
        x: (T, ..., d), queries or keys.
        coordinates: (T, 3), in tokens.

    Returns:
        Same shape and dtype as `x`.
    """
    pairs = x.shape[-1] // 6
    precise = torch.float64 if x.dtype == torch.float64 else torch.float32
    steps = torch.arange(pairs, device=x.device, dtype=precise)
    angles = (coordinates.to(precise)[:, :, None] * BASE ** (-steps / pairs)).flatten(1)
    angles = angles.view(-1, *(1,) * (x.dim() - 2), 3 * pairs)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b, rest = torch.split(x, [3 * pairs, 3 * pairs, x.shape[-1] - 6 * pairs], -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)


class RelativeBias(nn.Module):
    """A learned number for each head and each offset between two tokens (Swin, eq. 4).

    Offsets beyond `reach` tokens on an axis share the outermost entry, so any grid works. With
    `shared` offsets share entries as in WaveFormer's public code, whose stride along z is too
    small.
    """

    def __init__(self, heads: int, *, reach: int = REACH, shared: bool = False) -> None:
        super().__init__()
        self.reach = reach
        self.shared = shared
        self.bias = nn.Parameter(torch.zeros((2 * reach + 1) ** 3, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, tokens: Tokens) -> Tensor:
        """(B, heads, n, n), or B = 1 where samples are alike: query, key."""
        places = tokens.places
        offset = places[:, :, None] - places[:, None]
        z, y, x = (offset.clamp(-self.reach, self.reach) + self.reach).unbind(-1)
        edge = 2 * self.reach + 1
        plane = edge + self.reach + 1 if self.shared else edge * edge
        return F.embedding(z * plane + y * edge + x, self.bias).permute(0, 3, 1, 2)
