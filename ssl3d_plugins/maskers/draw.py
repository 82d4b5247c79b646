"""Drawing hidden blocks from one score a cell.

Every cell gets a score, whether or not it may be hidden, and the cells or blocks with the lowest
scores are hidden. So the randomness that is consumed depends on the batch and the grid alone, and
a sample's result on its own scores and its own hideable cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple, quotient
from ssl3d.sparse import join_cells, split_cells
from ssl3d_plugins.maskers.blocks import hidden_count


def check_call(
    grid: Triple, *, batch_size: int, generator: torch.Generator, hideable: Tensor | None
) -> Tensor:
    """The hideable cells (B, Gd, Gh, Gw) on the CPU, all where None is given.

    Raises:
        ValueError: a generator of another device, no sample, or `hideable` of a wrong kind.
    """
    if generator.device.type != "cpu":
        raise ValueError(
            f"the generator is on {generator.device}: maskers draw on the CPU, so that every "
            "device gets the same cells. Give torch.Generator()"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: give at least 1")
    shape = (batch_size, *grid)
    if hideable is None:
        return torch.ones(shape, dtype=torch.bool)
    if hideable.dtype != torch.bool or tuple(hideable.shape) != shape:
        raise ValueError(
            f"hideable is {hideable.dtype} of shape {tuple(hideable.shape)}: give a boolean "
            f"tensor of shape {shape}"
        )
    return hideable.cpu()


def draw_ratio(ratio: float | tuple[float, float], *, generator: torch.Generator) -> float:
    """The ratio, or one drawn evenly from its range."""
    if isinstance(ratio, float):
        return ratio
    low, high = ratio
    share = torch.rand((), generator=generator, dtype=torch.float64)
    return low + (high - low) * float(share)


def draw_scores(grid: Triple, *, batch_size: int, generator: torch.Generator) -> Tensor:
    """(B, Gd, Gh, Gw) scores, even on [0, 1). In double precision ties are out of the question."""
    return torch.rand((batch_size, *grid), generator=generator, dtype=torch.float64)


def hide_blocks(scores: Tensor, *, among: Tensor, block: Triple, ratio: float) -> Tensor:
    """Hide an exact share of the blocks.

    A block may be hidden when at least half of its cells are in `among`; of a hidden block those
    cells are hidden. A sample with fewer than two such blocks is hidden cell by cell instead, so
    that one cell of `among` is hidden and one is not wherever it has two; with one, none is.

    Args:
        scores: (B, Gd, Gh, Gw); a block's score is that of its first cell.
        among: (B, Gd, Gh, Gw) bool, cells that may be hidden.
        block: cells per block; it divides the grid.
        ratio: share of the blocks, see `hidden_count`.

    Returns:
        (B, Gd, Gh, Gw) bool.
    """
    batch, grid = among.shape[0], (among.shape[1], among.shape[2], among.shape[3])
    members = split_cells(among[:, None], cell=block)
    may_hide = (members.float().mean((1, 2, 3, 4)) >= 0.5).view(batch, -1)
    first = split_cells(scores[:, None], cell=block)[:, 0, 0, 0, 0].view(batch, -1)
    chosen = _lowest(first, among=may_hide, ratio=ratio).view(-1, 1, 1, 1, 1)
    by_block = join_cells(chosen & members, grid=quotient(grid, block))[:, 0]
    by_cell = _lowest(scores.flatten(1), among=among.flatten(1), ratio=ratio).view(among.shape)
    enough = may_hide.sum(1) >= 2
    return torch.where(enough.view(-1, 1, 1, 1), by_block, by_cell)


def _lowest(scores: Tensor, *, among: Tensor, ratio: float) -> Tensor:
    """(B, n) bool: in each row, the share of `among` with the lowest scores."""
    numbers = [hidden_count(ratio, blocks=n) for n in among.sum(1).tolist()]
    order = torch.argsort(scores.masked_fill(~among, torch.inf), dim=1)
    rank = torch.argsort(order, dim=1)
    return rank < torch.tensor(numbers)[:, None]
