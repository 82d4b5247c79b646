"""A block of EVA-02 (arXiv 2303.11331, section 2.1). Modules are named as timm names them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.primus.attention import Attention
from ssl3d_plugins.primus.drop_path import DropPath
from ssl3d_plugins.primus.rotary import Turns
from ssl3d_plugins.primus.tokens import Tokens

LAYER_SCALE = 0.1
RATIO = 4 * 2 / 3
"""Hidden channels for each channel: a gate makes three maps of two, so two thirds of 4."""


class SwiGLU(nn.Module):
    """A gated MLP (Shazeer 2020, arXiv 2002.05202) with a layer norm before its last map."""

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.fc1_g = nn.Linear(width, hidden)
        self.fc1_x = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, rows: Tensor) -> Tensor:
        """(T, C) to (T, C)."""
        out: Tensor = self.fc2(self.norm(F.silu(self.fc1_g(rows)) * self.fc1_x(rows)))
        return out


class Block(nn.Module):
    """`x + γ₁ attention(norm(x))`, then `x + γ₂ MLP(norm(x))`.

    Args:
        width: channels, C.
        heads: attention heads.
        drop_path: chance that training leaves a half out for a sample.
    """

    def __init__(self, width: int, *, heads: int, drop_path: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.gamma_2 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads=heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = SwiGLU(width, hidden=int(width * RATIO))
        self.drop_path = DropPath(drop_path)

    def forward(self, rows: Tensor, *, tokens: Tokens, by: Turns) -> Tensor:
        """(T, C) rows of tokens to (T, C)."""
        mixed = self.gamma_1 * self.attn(self.norm1(rows), counts=tokens.counts, by=by)
        rows = rows + self.drop_path(mixed, tokens)
        changed: Tensor = rows + self.drop_path(self.gamma_2 * self.mlp(self.norm2(rows)), tokens)
        return changed
