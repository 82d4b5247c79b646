"""How attention knows where tokens stand. Positions count tokens, not voxels."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.waveformer.tokens import Tokens

PositionKind = Literal["rope", "relative_bias", "none"]

# Wave lengths from 2π to 2π · BASE tokens: grids have some ten tokens an axis, not thousands.
BASE = 100.0
REACH = 7


class Turns(NamedTuple):
    """Cosine and signed sine of the angle by which each channel of a head turns: (T, d) each.

    Channels are [a, b, rest] with a pair in a and b: the sine is negative for a. What does not turn
    has cosine 1 and sine 0.
    """

    cos: Tensor
    sin: Tensor


def turns(coordinates: Tensor, *, channels: int, dtype: torch.dtype) -> Turns:
    """Rotary positions on three axes (Su et al. 2021, section 3.2.2, for each axis apart).

    A head's channels are shared out evenly: 2 · (d // 6) for each axis, as pairs that turn with
    the coordinate, and the rest stays as it is. Of 16 channels, 4 turn for each axis.

    Args:
        coordinates: (T, 3), in tokens.
        channels: of a head, d.
        dtype: of the queries and keys; angles are computed in single precision at least.
    """
    pairs = channels // 6
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    lengths = torch.logspace(
        0, (1 - pairs) / pairs, pairs, BASE, device=coordinates.device, dtype=precise
    )
    angles = (coordinates.to(precise)[:, :, None] * lengths).flatten(1)
    still = angles.new_zeros(len(angles), channels - 6 * pairs)
    signed = torch.cat([-angles, angles, still], 1)
    return Turns(signed.cos().to(dtype), signed.sin().to(dtype))


def token_turns(tokens: Tokens, *, channels: int, dtype: torch.dtype) -> Turns:
    """Those of tokens, to be kept with them."""
    return turns(tokens.coordinates, channels=channels, dtype=dtype)


def turn_matrices(tokens: Tokens, *, channels: int, dtype: torch.dtype) -> Tensor:
    """(T, 3, d, d): what queries, keys and values of each token are multiplied with, from the left.

    Values stay as they are. A matrix for each token is more numbers than its angles, and one
    product turns all heads.
    """
    cos, sin = turns(tokens.coordinates, channels=channels, dtype=dtype)
    still = torch.eye(channels, dtype=dtype, device=cos.device).expand(len(cos), -1, -1)
    turned = rotate(still, by=Turns(cos[:, None], sin[:, None]))
    return torch.stack([turned, turned, still], 1)


def rotate(x: Tensor, *, by: Turns) -> Tensor:
    """Turn queries or keys (..., d) by angles of a shape that broadcasts to theirs."""
    turned: Tensor = _Rotate.apply(x, by.cos, by.sin)  # type: ignore[no-untyped-call]
    return turned


class _Rotate(torch.autograd.Function):
    """The gradient of a rotation is the rotation back: as few operations as there and back need."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return torch.addcmul(x * cos, _swapped(x), sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return torch.addcmul(grad * cos, _swapped(grad), sin, value=-1), None, None


def _swapped(x: Tensor) -> Tensor:
    """[a, b, rest] to [b, a, rest]."""
    turned = 3 * (x.shape[-1] // 6)
    a, b, rest = torch.split(x, [turned, turned, x.shape[-1] - 2 * turned], -1)
    return torch.cat([b, a, rest], -1)


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
