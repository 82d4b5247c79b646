"""Stochastic depth, for each sample by itself (Huang et al. 2016, arXiv 1603.09382)."""

from __future__ import annotations

from torch import Tensor, nn

from ssl3d_plugins.primus.tokens import Tokens


class DropPath(nn.Module):
    """In training leaves a branch out, for samples that torch's generator draws.

    What stays is divided by its chance, so that the mean is that of evaluation.

    Args:
        rate: the chance to leave it out.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, rows: Tensor, tokens: Tokens) -> Tensor:
        """(T, C) rows of tokens to (T, C)."""
        if not self.training or not self.rate:
            return rows
        chance = 1 - self.rate
        kept = rows.new_empty(len(tokens.counts)).bernoulli_(chance) / chance
        return rows * kept.index_select(0, tokens.samples)[:, None]

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate:g}"
