"""Attention inside windows of tokens (Swin, Liu et al. 2021, without the shift)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d.geometry import Triple, times
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume
from ssl3d_plugins.waveformer.tokens import Tokens, tokens_of, visible_tokens


@dataclass(frozen=True, eq=False)
class Windows:
    """Tokens sorted by window, each window as if it were a sample.

    Attributes:
        tokens: T tokens in the windows' order; a window has as many as are visible.
        order: (T,) the row of each of them.
        back: (T,) where each row went.
    """

    tokens: Tokens
    order: Tensor
    back: Tensor

    def apply(self, attention: nn.Module, rows: Tensor) -> Tensor:
        """Attention of (T, C) rows in their own order."""
        sorted_rows = rows.index_select(0, self.order)
        mixed: Tensor = attention(sorted_rows, self.tokens)
        return mixed.index_select(0, self.back)


def windows_of(x: FeatureMap, *, block: Triple, window: Triple) -> Windows:
    """The windows of a map with one token for each `block` of sites.

    A window at the far border of a grid that `window` does not divide has fewer tokens.
    """
    if isinstance(x, SparseVolume):
        return x.cells.table(_visible_windows, times(x.stride, block), window)
    return _windows(tokens_of(x, block=block), window)


def _visible_windows(cells: CellGrid, stride: Triple, window: Triple) -> Windows:
    return _windows(cells.table(visible_tokens, stride=stride), window)


def _windows(tokens: Tokens, window: Triple) -> Windows:
    samples = torch.arange(len(tokens.counts)).repeat_interleave(torch.tensor(tokens.counts))
    samples = samples.to(tokens.coordinates.device)
    size = torch.tensor(window, device=tokens.coordinates.device)
    places = torch.cat([samples[:, None], tokens.coordinates.long() // size], 1)
    _, window_of_row, counts = torch.unique(places, dim=0, return_inverse=True, return_counts=True)
    order = window_of_row.argsort(stable=True)
    # Without any token there is one empty window, so that every parameter still has a gradient.
    filled = tuple(counts.tolist()) or (0,)
    by_window = Tokens(filled, tokens.coordinates.index_select(0, order))
    return Windows(by_window, order, order.argsort())
