"""Wavelet levels of a stage, per axis: how deep they go and which sub-bands they make."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ssl3d.geometry import Stage, Triple, product, quotient, times
from ssl3d.plugin.config import Problem

AXES = ("z", "y", "x")


def deepest_level(size: Triple) -> Triple:
    """Per axis, how often `size` halves exactly."""
    z, y, x = ((s & -s).bit_length() - 1 for s in size)
    return (z, y, x)


def block_of(levels: Triple) -> Triple:
    """Sites of the block that one coefficient of the deepest level stands for: 2^level."""
    return (2 ** levels[0], 2 ** levels[1], 2 ** levels[2])


def axes_at(levels: Triple, depth: int) -> tuple[int, ...]:
    """Which of the axes 0, 1, 2 are still transformed at this depth, counted from 1."""
    return tuple(axis for axis, level in enumerate(levels) if level >= depth)


def full_name(band: str, *, axes: tuple[int, ...]) -> str:
    """A sub-band's name over `axes` as a name over all three: stopped axes are `a`."""
    letters = dict(zip(axes, band, strict=True))
    return "".join(letters.get(axis, "a") for axis in range(3))


def band_names(levels: Triple) -> tuple[str, ...]:
    """Orientations of all detail sub-bands, one letter an axis, such as `aad`: detail along x."""
    names = {
        "".join(name)
        for depth in range(1, max(levels) + 1)
        for name in itertools.product(*("ad" if level >= depth else "a" for level in levels))
    }
    return tuple(sorted(names - {"aaa"}))


def factors_of(levels: Triple) -> tuple[Triple, ...]:
    """Ratio of sites between each depth and the one before: 2 on axes that still halve."""
    factors = []
    for depth in range(1, max(levels) + 1):
        z, y, x = (2 if level >= depth else 1 for level in levels)
        factors.append((z, y, x))
    return tuple(factors)


def detail_stages(stride: Triple, width: int, *, levels: Triple) -> tuple[Stage, ...]:
    """The details of a stage of this stride and width: of each level, fine to coarse."""
    found = []
    for factor in factors_of(levels):
        stride = times(stride, factor)
        found.append(Stage(stride, width * (product(factor) - 1)))
    return tuple(found)


def depth_problems(
    stages: tuple[Stage, ...], levels: tuple[Triple, ...], *, cell: Triple
) -> Iterator[Problem]:
    """Levels whose blocks do not divide a cell."""
    for i, (stage, wanted) in enumerate(zip(stages, levels, strict=True)):
        edge = quotient(cell, stage.stride)
        for axis, name in enumerate(AXES):
            allowed = deepest_level(edge)[axis]
            if wanted[axis] > allowed:
                yield Problem(
                    f"levels.{i}",
                    f"stage {i} has level {wanted[axis]} on axis {name}, blocks of "
                    f"{2 ** wanted[axis]} sites, which do not divide the {edge[axis]} sites of a "
                    f"cell there; allowed: 0 to {allowed}, or a larger cell",
                )
