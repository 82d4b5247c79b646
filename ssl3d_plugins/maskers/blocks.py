"""The arithmetic of blocks: which fit a grid, and how many of them are hidden. Imports no torch."""

from __future__ import annotations

import itertools
import math
from typing import Literal

from ssl3d.geometry import Triple, divides, product, quotient, show

ENOUGH_BLOCKS = 16
"""With 16 blocks or more, rounding to whole blocks moves a ratio by at most 1/32."""


def divisors(n: int) -> list[int]:
    """The divisors of n, ascending."""
    return [d for d in range(1, n + 1) if n % d == 0]


def auto_block(grid: Triple) -> Triple:
    """The largest block, near to a cube, that divides the grid into at least 16 blocks.

    One cell where no larger block does.
    """
    for edge in range(max(grid), 1, -1):
        z, y, x = (max(d for d in divisors(g) if d <= edge) for g in grid)
        if product(quotient(grid, (z, y, x))) >= ENOUGH_BLOCKS:
            return (z, y, x)
    return (1, 1, 1)


def finer_block(block: Triple) -> Triple:
    """The largest block that divides this one into parts, on each axis longer than one cell."""
    z, y, x = (divisors(edge)[-2] if edge > 1 else 1 for edge in block)
    return (z, y, x)


def fit_block(block: Literal["auto"] | Triple, *, grid: Triple) -> Triple:
    """The block to use on this grid.

    Raises:
        ValueError: the grid has one cell, or a fixed block does not divide it into two or more.
    """
    if product(grid) < 2:
        raise ValueError(
            f"the grid has {show(grid)} cells: the smallest volume has two cells, one to hide and "
            "one to show. Take a larger patch, or smaller cells"
        )
    if block == "auto":
        return auto_block(grid)
    if divides(block, grid) and block != grid:
        return block
    smallest = (block[0], block[1], 2 * block[2])
    raise ValueError(
        f"blocks of {show(block)} cells do not divide a grid of {show(grid)} cells into two or "
        f'more blocks. Allowed here: "auto", or {_allowed(grid)}, but not the whole grid. The '
        f"smallest grid for these blocks has {show(smallest)} cells (in any order of the axes)"
    )


def fit_inner_block(block: Literal["auto"] | Triple, *, outer: Triple) -> Triple:
    """The finer block to use inside blocks of `outer` cells.

    Raises:
        ValueError: a fixed block does not divide the outer one.
    """
    if block == "auto":
        return finer_block(outer)
    if divides(block, outer):
        return block
    raise ValueError(
        f"blocks of {show(block)} cells do not divide the coarse blocks of {show(outer)} cells. "
        f'Allowed here: "auto", or {_allowed(outer)}'
    )


def smallest_block(grid: Triple) -> Triple | None:
    """The smallest block that is longer than a cell on every axis that is; None: the whole grid."""
    z, y, x = (divisors(edge)[1] if edge > 1 else 1 for edge in grid)
    return None if (z, y, x) == grid else (z, y, x)


def grid_of_two_granularities(grid: Triple) -> Triple:
    """The grid of fewest cells, from this one upwards, whose coarse block has several cells."""
    z, y, x = (range(edge, 2 * edge + 3) for edge in grid)
    larger = sorted(itertools.product(z, y, x), key=lambda g: (product(g), max(g)))
    return next(g for g in larger if auto_block(g) != (1, 1, 1))


def _allowed(size: Triple) -> str:
    choices = [" or ".join(map(str, divisors(n))) for n in size]
    return f"z {choices[0]}, y {choices[1]}, x {choices[2]}"


def hidden_count(ratio: float, *, blocks: int) -> int:
    """How many of `blocks` to hide: round(ratio · blocks), but at least one and never all.

    Half-way cases go up; the product is taken to nine decimals, so that 0.29 · 50 is half-way.
    With fewer than two blocks nothing is hidden.
    """
    if blocks < 2:
        return 0
    nearest = math.floor(round(ratio * blocks, 9) + 0.5)
    return min(max(nearest, 1), blocks - 1)


def fewest_visible(
    grid: Triple, *, block: Literal["auto"] | Triple, ratio: float | tuple[float, float]
) -> int:
    """Cells that stay visible at the highest ratio, 0 on a grid that the block does not fit."""
    try:
        size = fit_block(block, grid=grid)
    except ValueError:
        return 0
    highest = max(ratio) if isinstance(ratio, tuple) else ratio
    hidden = hidden_count(highest, blocks=product(quotient(grid, size)))
    return product(grid) - hidden * product(size)
