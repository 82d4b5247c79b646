"""Sizes and spacings of a run's volumes, from headers alone: what is said before it begins."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl3d.data.grid import oriented
from ssl3d.data.scan import open_scan
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import Triple, product, show

SMALL = 0.25
"""Share of a patch below which a volume is far smaller than it."""

MIXED = 1.25
"""Ratio of the largest to the smallest spacing along an axis from which spacings are mixed."""


class Grid(NamedTuple):
    """A volume's voxels (z, y, x) in RAS orientation, and their size in mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def shape_at(self, spacing: tuple[float, float, float] | None) -> tuple[int, int, int]:
        """Voxels once it is resampled to a spacing in mm; none: its own. A sheared volume, whose
        axes are put at right angles, may have more."""
        if spacing is None:
            return self.shape
        whole, _ = oriented(self.shape, np.diag([*self.spacing, 1.0]))
        z, y, x = whole.resampled(spacing).shape
        return z, y, x


def header_grid(path: Path) -> Grid:
    """The grid of a file, as it is before it is resampled.

    Raises:
        BadVolume: the header cannot be used.
    """
    scan = open_scan(path)
    grid, _ = oriented(scan.shape, scan.affine)
    (x, y, z), (width, depth, height) = grid.shape, map(float, grid.steps)
    return Grid((z, y, x), (height, depth, width))


def size_warnings(
    sources: Sequence[Source],
    *,
    spec: DataSpec,
    extent: Triple | None = None,
    grid: Callable[[Source], Grid] | None = None,
) -> Iterator[str]:
    """A line for volumes far smaller than a crop, and one for mixed spacings.

    Args:
        sources: with good headers; their first channel counts.
        spec: patch and spacing.
        extent: of a crop, in voxels; none: `spec.patch`.
        grid: of a sample; none: by its header.
    """
    crop = spec.patch if extent is None else extent
    grids = [
        (source, header_grid(source.files[0]) if grid is None else grid(source))
        for source in sources
    ]
    shapes = [(source, grid.shape_at(spec.spacing)) for source, grid in grids]
    small = [(source, shape) for source, shape in shapes if _share(shape, crop) < SMALL]
    if small:
        source, smallest = min(small, key=lambda pair: _share(pair[1], crop))
        what = "data.patch" if crop == spec.patch else "a crop"
        yield (
            f"{len(small)} of {len(grids)} volumes fill less than {SMALL:.0%} of {what}, "
            f"{show(crop)} voxels: their crops are mostly padding, and a crop in which "
            f"nothing can be hidden counts for nothing. The smallest is {source.name}, "
            f"{show(smallest)} voxels. Take a smaller patch, or leave them out"
        )
    if spec.spacing is None and grids:
        yield from _mixed([grid.spacing for _, grid in grids])


def patches_held(grid: Grid, *, spec: DataSpec) -> float:
    """How many patches a sample has room for, whose file has `grid`; at least 1."""
    pairs = zip(grid.shape_at(spec.spacing), spec.patch, strict=True)
    return float(np.prod([max(1.0, size / patch) for size, patch in pairs]))


def _share(shape: Triple, crop: Triple) -> float:
    """How much of a crop the volume fills, at most."""
    z, y, x = map(min, shape, crop)
    return product((z, y, x)) / product(crop)


def _mixed(spacings: Sequence[tuple[float, float, float]]) -> Iterator[str]:
    axes = list(zip(*spacings, strict=True))
    if all(max(axis) <= MIXED * min(axis) for axis in axes):
        return
    ranges = " × ".join(
        f"{min(axis):.3g}" if max(axis) == min(axis) else f"{min(axis):.3g} to {max(axis):.3g}"
        for axis in axes
    )
    median = ", ".join(f"{statistics.median(axis):.3g}" for axis in axes)
    yield (
        f"Voxels differ in size, {ranges} mm (z, y, x), and data.spacing is none: the same anatomy "
        f"has another size in voxels from volume to volume. Give data.spacing; the medians are "
        f"[{median}]"
    )
