"""Stochastic depth: a residual branch that some samples go without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl3d.sparse import FeatureMap, SparseVolume


class DropPath(nn.Module):
    """Leaves the branch of a sample out with this probability, in training only.

    What stays is scaled by 1 / (1 - rate). Draws from torch's global generator of the device, which
    a run seeds before each step. Source: Huang et al. 2016, arXiv 1603.09382, for each sample apart
    as in timm.

    Args:
        rate: probability, from 0 and below 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        assert 0 <= rate < 1, rate
        self.rate = rate

    def forward(self, branch: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        share = self.share(branch)
        if share is None:
            return branch
        if isinstance(branch, SparseVolume):
            return branch.map(lambda features: features * share.to(features.dtype))
        return branch * share.to(branch.dtype)

    def share(self, x: FeatureMap) -> Tensor | None:
        """0 or 1 / (1 - rate) for each sample (B, 1, 1, 1, 1), or cell (N, 1, 1, 1, 1).

        None where nothing is left out: outside of training, or with rate 0.
        """
        if not self.training or not self.rate:
            return None
        if isinstance(x, SparseVolume):
            share = self._drawn(x.cells.batch, device=x.features.device)
            share = share.index_select(0, x.cells.cell_coordinates[:, 0])
        else:
            share = self._drawn(len(x), device=x.device)
        return share.view(-1, 1, 1, 1, 1)

    def _drawn(self, samples: int, *, device: torch.device) -> Tensor:
        kept = torch.rand(samples, device=device) >= self.rate
        return kept.to(torch.get_default_dtype()) / (1 - self.rate)

    def extra_repr(self) -> str:
        """The rate, as printed in a module's tree."""
        return str(self.rate)


def rising(rate: float, *, blocks: int) -> tuple[float, ...]:
    """A rate for each of so many blocks: from 0 at the first to `rate` at the last, linearly."""
    return tuple(rate * i / max(blocks - 1, 1) for i in range(blocks))
