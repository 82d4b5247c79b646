"""Norms over visible sites need several of them: say so before a run. Imports no torch.

Instance norm counts those of a sample, batch norm those of a batch. One site has no variance, so
the layer raises; a few give poor statistics.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ssl3d.geometry import Stage, Triple, product, quotient, show, times

ENOUGH = 8
"""Sites from which statistics pass without a warning."""

REACH = 8
"""How many cells an axis may grow in the search for a patch that is large enough."""


class Norm(NamedTuple):
    """A norm over visible sites.

    Attributes:
        name: such as "instance norm".
        samples: whose sites its statistics are taken from together.
        of: what these samples are, in words.
        advice: what to do where there are too few sites, beside hiding less.
    """

    name: str
    samples: int
    of: str
    advice: str


INSTANCE = Norm("instance norm", 1, "a sample", "use batch norm")


def batch_norm(samples: int) -> Norm:
    """Batch norm over a batch of this many samples."""
    of = f"a batch of {samples}" if samples > 1 else "a batch of one sample"
    return Norm("batch norm", samples, of, "take a larger data.batch_size")


class FewSites(NamedTuple):
    """Too few visible sites: `error` where there is no variance, `warning` where there is little.

    `message` names the smallest patch that would do.
    """

    level: Literal["error", "warning"]
    message: str


def few_sites(
    stages: Sequence[Stage],
    *,
    norm: Norm = INSTANCE,
    cell: Triple,
    grid: Triple,
    visible_cells: Callable[[Triple], int],
) -> FewSites | None:
    """What is wrong with a norm at these stages, or None.

    Args:
        stages: that have it, such as `BackboneConfig.instance_norm_stages()`.
        norm: which one it is.
        cell: voxels per cell.
        grid: cells of a patch.
        visible_cells: the fewest cells that a sample shows on a grid.
    """
    if not stages:
        return None
    deepest = min(stages, key=lambda stage: product(quotient(cell, stage.stride)))
    in_cell = norm.samples * product(quotient(cell, deepest.stride))
    sites = visible_cells(grid) * in_cell
    if sites >= ENOUGH:
        return None
    needed = 2 if sites < 2 else ENOUGH
    larger = _smallest_grid(grid, cells=-(-needed // in_cell), visible_cells=visible_cells)
    advice = f"hide less, or {norm.advice}"
    if larger is not None:
        size = show(times(larger, cell))
        advice = f"the smallest patch that shows {needed} is {size} voxels; or {advice}"
    what = f"{norm.name} at stride {show(deepest.stride)} sees {sites} visible site"
    if sites < 2:
        return FewSites("error", f"{what} of {norm.of}, which has no variance: {advice}")
    return FewSites(
        "warning", f"{what}s of {norm.of}; below {ENOUGH} its statistics are poor: {advice}"
    )


def _smallest_grid(
    grid: Triple, *, cells: int, visible_cells: Callable[[Triple], int]
) -> Triple | None:
    """The grid of fewest cells, from this one upwards, that shows at least `cells`."""
    z, y, x = (range(edge, edge + REACH + 1) for edge in grid)
    # Of two grids with as many cells, the one nearer to a cube.
    for larger in sorted(itertools.product(z, y, x), key=lambda g: (product(g), max(g))):
        if visible_cells(larger) >= cells:
            return larger
    return None
