"""Self-attention of EVA-02 over the tokens of each sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d_plugins.primus.rotary import Turns, rotate


class Attention(nn.Module):
    """Scaled dot-product attention with rotary positions, and a layer norm before its last map.

    Queries and values have biases, keys have none. Source: EVA-02, arXiv 2303.11331, section 2.1.
    Modules are named as timm names them.
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, width)

    def forward(self, rows: Tensor, *, counts: tuple[int, ...], by: Turns) -> Tensor:
        """(T, C) rows of tokens to (T, C); a sample sees its own tokens only."""
        q, k, v = (
            project(rows).unflatten(-1, (self.heads, -1))
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        seen = by_sample(rotate(q, by), rotate(k, by), v, counts=counts)
        mixed: Tensor = self.proj(self.norm(seen.flatten(1)))
        return mixed


def by_sample(q: Tensor, k: Tensor, v: Tensor, *, counts: tuple[int, ...]) -> Tensor:
    """Attention of each sample's rows, (T, heads, d) each and as a result.

    All at once where samples have equal counts; else one after another, so there is no padding.
    """
    if len(set(counts)) == 1 and counts[0]:
        shape = (len(counts), counts[0], *q.shape[1:])
        return _attend(q.view(shape), k.view(shape), v.view(shape)).flatten(0, 1)
    samples = zip(*(torch.split(x, list(counts)) for x in (q, k, v)), strict=True)
    return torch.cat([_attend(*(x[None] for x in one))[0] for one in samples])


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, n, heads, d) each and as a result."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
