"""Drawing hidden blocks from one score a cell.

Every cell gets a score, whether or not it may be hidden, and the cells or blocks with the lowest
scores are hidden. So the randomness that is consumed depends on the grid alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple, quotient
from ssl3d.sparse import join_cells, split_cells
from ssl3d.sparse.hidden import described
from ssl3d_plugins.maskers.blocks import hidden_count


def checked(hideable: Tensor, *, grid: Triple) -> Tensor:
    """`hideable` as it is; raises ValueError where it is no boolean (Gd, Gh, Gw) on the CPU."""
    given = described(hideable)
    if given != f"torch.bool of shape {tuple(grid)} on cpu":
        raise ValueError(
            f"hideable is {given}: give a boolean tensor of shape {tuple(grid)} on the CPU"
        )
    return hideable


def draw_ratio(ratio: float | tuple[float, float], *, generator: torch.Generator) -> float:
    """The ratio, or one drawn evenly from its range."""
    if isinstance(ratio, float):
        return ratio
    low, high = ratio
    share = torch.rand((), generator=generator, dtype=torch.float64)
    return low + (high - low) * float(share)


def draw_scores(grid: Triple, *, generator: torch.Generator) -> Tensor:
    """(Gd, Gh, Gw) scores, even on [0, 1). In double precision ties are out of the question."""
    return torch.rand(grid, generator=generator, dtype=torch.float64)


def hide_blocks(scores: Tensor, *, among: Tensor, block: Triple, ratio: float) -> Tensor:
    """Hide an exact share of the blocks.

    A block may be hidden when at least half of its cells are in `among`; of a hidden block those
    cells are hidden. With fewer than two such blocks cells are hidden one by one instead, so that
    one cell of `among` is hidden and one is not wherever there are two; with one, none is.

    Args:
        scores: (Gd, Gh, Gw); a block's score is that of its first cell.
        among: (Gd, Gh, Gw) bool, cells that may be hidden.
        block: cells per block; it divides the grid.
        ratio: share of the blocks, see `hidden_count`.

    Returns:
        (Gd, Gh, Gw) bool.
    """
    grid = (among.shape[0], among.shape[1], among.shape[2])
    members = split_cells(among[None, None], cell=block)
    may_hide = members.float().mean((1, 2, 3, 4)) >= 0.5
    if int(may_hide.sum()) < 2:
        return _lowest(scores.flatten(), among=among.flatten(), ratio=ratio).view(grid)
    first = split_cells(scores[None, None], cell=block)[:, 0, 0, 0, 0]
    chosen = _lowest(first, among=may_hide, ratio=ratio).view(-1, 1, 1, 1, 1)
    return join_cells(chosen & members, grid=quotient(grid, block))[0, 0]


def _lowest(scores: Tensor, *, among: Tensor, ratio: float) -> Tensor:
    """(n,) bool: the share of `among` with the lowest scores."""
    number = hidden_count(ratio, blocks=int(among.sum()))
    lowest = scores.masked_fill(~among, torch.inf).argsort()[:number]
    return torch.zeros_like(among).index_fill_(0, lowest, True)
