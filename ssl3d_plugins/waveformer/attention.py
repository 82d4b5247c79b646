"""Multi-head self-attention over the tokens of each sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.waveformer.initial import init_linear
from ssl3d_plugins.waveformer.positions import (
    REACH,
    PositionKind,
    RelativeBias,
    Turns,
    rotate,
    token_turns,
    turn_matrices,
)
from ssl3d_plugins.waveformer.tokens import Tokens

MATRIX = 32
"""Channels of a head up to which it is turned by a matrix for each token."""


class TokenAttention(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017) with 3D positions.

    Args:
        channels: width, C.
        heads: they divide C.
        positions: rotary positions, a learned bias for each offset, or none.
        reach: largest offset with a bias of its own, in tokens.
        shared: offsets share biases as in WaveFormer's public code.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        positions: PositionKind,
        reach: int = REACH,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.rotary = positions == "rope"
        self.qkv = nn.Linear(channels, 3 * channels)
        self.bias = (
            RelativeBias(heads, reach=reach, shared=shared)
            if positions == "relative_bias"
            else None
        )
        self.out = nn.Linear(channels, channels)
        self.apply(init_linear)

    def forward(self, rows: Tensor, tokens: Tokens) -> Tensor:
        """(T, C) rows of tokens to (T, C); a sample sees its own tokens only."""
        q, k, v = self.queries_keys_values(rows, tokens)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self._allowed(tokens, q))
        mixed: Tensor = self.out(tokens.unpad(attended.transpose(1, 2).flatten(2)))
        return mixed

    def queries_keys_values(self, rows: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor, Tensor]:
        """Each (B, heads, n, C / heads), positions included."""
        qkv: Tensor = self.qkv(rows).unflatten(1, (3, self.heads, -1))
        if self.rotary:
            qkv = turned(qkv, tokens=tokens)
        q, k, v = tokens.pad(qkv).transpose(1, 3).unbind(2)
        return q, k, v

    def _allowed(self, tokens: Tokens, q: Tensor) -> Tensor | None:
        """What is added to the logits, or which keys are seen; None for all alike."""
        visible = None if tokens.full else tokens.valid[:, None, None]
        if self.bias is None:
            return visible
        bias: Tensor = self.bias(tokens).to(q.dtype)
        return bias if visible is None else bias.masked_fill(~visible, float("-inf"))


def turned(qkv: Tensor, *, tokens: Tokens) -> Tensor:
    """Queries, keys and values (T, 3, heads, d), the first two turned by their tokens' places."""
    like: dict[str, Any] = {"channels": qkv.shape[-1], "dtype": qkv.dtype}
    if qkv.shape[-1] <= MATRIX:
        return qkv @ tokens.table(turn_matrices, **like)
    cos, sin = (one[:, None, None] for one in tokens.table(token_turns, **like))
    return torch.cat([rotate(qkv[:, :2], by=Turns(cos, sin)), qkv[:, 2:]], 1)
