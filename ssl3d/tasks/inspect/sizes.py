"""Spacing, patch, strides and kernels that suit a data set's voxels, by nnU-Net's rules.

Source: nnU-Net (Isensee et al., Nature Methods 2021, supplementary note 2) and its planner. The
number of voxels in a patch and of halvings are this project's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ssl3d.geometry import Triple
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.tasks.inspect.facts import THICK, Sizes

VOXELS = 96**3
"""Of a patch: what fits where the default patch fits."""

HALVINGS = 4
"""At most: a total stride of 16, which is that of the default network."""

MOST = 2048
"""Voxels of a patch along an axis, at most, as `data.patch` has it."""

LEAST = 4
"""Sites per axis that the coarsest map keeps."""


def target_spacing(
    spacings: Sequence[Sizes], *, shapes: Sequence[Triple]
) -> tuple[Sizes, str | None]:
    """(spacing in mm, z y x; the axis of thick slices, or None).

    Medians; across thick slices, of which there are few, the 10th percentile, so that the files
    with finer ones lose less, but nothing finer than the other axes.
    """
    target = np.median(np.array(spacings), axis=0)
    shape = np.median(np.array(shapes), axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    if target[worst] <= THICK * target[others].max():
        return _triple(target), None
    if THICK * shape[worst] < shape[others].min():
        fine = float(np.percentile([spacing[worst] for spacing in spacings], 10))
        target[worst] = max(fine, target[others].max())
    return _triple(target), "zyx"[worst]


def patch_edges(spacing: Sizes, *, shape: Sequence[float]) -> list[int]:
    """Edges in voxels: a cube in mm, as far as the median volume (z, y, x) holds one."""
    edges = [0.0, 0.0, 0.0]
    free = {0, 1, 2}
    while free:
        voxels = VOXELS / math.prod(edge for edge in edges if edge)
        cube = (voxels * math.prod(spacing[axis] for axis in free)) ** (1 / len(free))
        short = {axis for axis in free if shape[axis] <= cube / spacing[axis]}
        if not short:
            for axis in free:
                edges[axis] = cube / spacing[axis]
            break
        for axis in short:
            edges[axis] = shape[axis]
        free -= short
    return [min(MOST, max(1, math.floor(edge + 1e-6))) for edge in edges]


def network_plan(spacing: Sizes, *, edges: Sequence[int]) -> NetworkPlan:
    """Strides: axes are halved whose steps are less than twice the finest, while sites are left."""
    steps, sites = list(spacing), [float(edge) for edge in edges]
    fine = [False, False, False]
    strides: list[Triple] = [(1, 1, 1)]
    kernels: list[Triple] = []
    while len(strides) <= HALVINGS:
        large = [axis for axis in range(3) if sites[axis] >= 2 * LEAST]
        if not large:
            break
        finest = min(steps[axis] for axis in large)
        halved = [axis for axis in large if steps[axis] < 2 * finest]
        if len(halved) == 1 and sites[halved[0]] < 3 * LEAST:
            break
        fine = [fine[axis] or steps[axis] < 2 * min(steps) for axis in range(3)]
        kernels.append(_per_axis(3 if one else 1 for one in fine))
        strides.append(_per_axis(2 if axis in halved else 1 for axis in range(3)))
        for axis in halved:
            steps[axis], sites[axis] = 2 * steps[axis], math.ceil(sites[axis] / 2)
    return NetworkPlan(tuple(strides), kernels=(*kernels, (3, 3, 3)))


def whole_cells(edges: Sequence[int], *, cell: Triple) -> Triple:
    """The patch: multiples of the cell within the edges, one at least."""
    return _per_axis(max(1, edge // size) * size for edge, size in zip(edges, cell, strict=True))


def _per_axis(values: Iterable[int]) -> Triple:
    z, y, x = values
    return (z, y, x)


def _triple(values: Iterable[float]) -> Sizes:
    z, y, x = (float(f"{value:.4g}") for value in values)
    return (z, y, x)
