"""Where voxels lie, and voxels brought onto another grid. Axes are x, y, z here, in RAS."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.data.utils import AFFINE_TOL, compute_shape_offset, zoom_affine
from monai.transforms.spatial.array import SpatialResample
from nibabel.orientations import inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from torch import Tensor

Box = tuple[slice, ...]

SLAB = 2**24
"""Voxels that are resampled at once."""

# A shear that moves no voxel by more than half of one is a rounding of the header.
_SHEAR = 0.5


@dataclass(frozen=True, eq=False)
class Grid:
    """`shape` voxels whose indices (x, y, z, 1) the affine (4, 4) takes to mm."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]

    @property
    def steps(self) -> NDArray[np.float64]:
        """Distance of neighbours along each axis, in mm."""
        steps: NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return steps

    @property
    def corners(self) -> NDArray[np.float64]:
        """Indices (4, 8) of the voxels at the corners."""
        ends = [(0.0, size - 1.0) for size in self.shape]
        return np.array([[*corner, 1.0] for corner in itertools.product(*ends)]).T

    def orthogonal_steps(self) -> NDArray[np.float64] | None:
        """Voxel size of an orthogonal grid as fine as this one; none where this one is orthogonal.

        It is the distance of neighbouring slices, not that of neighbours along a slanted axis.
        """
        linear = self.affine[:3, :3]
        steps: NDArray[np.float64] = np.diag(np.linalg.cholesky(linear.T @ linear)).copy()
        shear = linear - zoom_affine(self.affine, steps, diagonal=False)[:3, :3]
        arms = self.corners[:3] - self.corners[:3].mean(axis=1, keepdims=True)
        moved = np.linalg.norm(shear @ arms, axis=0).max()
        return steps if moved > _SHEAR * steps.min() else None

    def resampled(self, steps: Sequence[float] | NDArray[np.float64]) -> Grid:
        """The orthogonal grid over the same space with other steps, in mm.

        It starts at the first voxel; over a sheared grid at the lowest corner.
        """
        near = np.abs(self.steps - steps) <= AFFINE_TOL
        affine = zoom_affine(self.affine, np.where(near, self.steps, steps), diagonal=False)
        # MONAI's offset is left: it moves tilted grids, if only by what a header rounds.
        shape, _ = compute_shape_offset(self.shape, self.affine, affine)
        affine[:, 3] = self.affine[:, 3]
        if self.orthogonal_steps() is not None:
            affine[:, 3] = affine @ np.linalg.solve(affine, self.affine @ self.corners).min(axis=1)
        return Grid(tuple(int(size) for size in shape), affine)

    def slabs(self, voxels: int) -> list[tuple[slice, Grid]]:
        """Parts of at most so many voxels (or one slice), and where they are along x."""
        size, *others = self.shape
        step = max(1, voxels // math.prod(others))
        found = []
        for start in range(0, size, step):
            part = slice(start, min(start + step, size))
            found.append((part, self._cut((part, *map(slice, others)))))
        return found

    def near(self, other: Grid) -> tuple[Box, Grid]:
        """The voxels that those of `other` are interpolated from, and their grid."""
        places = np.linalg.solve(self.affine, other.affine @ other.corners)[:3]
        lows, highs = np.floor(places.min(axis=1)) - 1, np.ceil(places.max(axis=1)) + 2
        box = tuple(
            slice(int(np.clip(low, 0, size - 1)), int(np.clip(high, 1, size)))
            for low, high, size in zip(lows, highs, self.shape, strict=True)
        )
        return box, self._cut(box)

    def _cut(self, box: Box) -> Grid:
        affine = self.affine.copy()
        affine[:, 3] = self.affine @ [*(part.start or 0 for part in box), 1]
        return Grid(tuple(part.stop - (part.start or 0) for part in box), affine)

    def moved(self, corner: Sequence[int]) -> Grid:
        """The same voxels counted from the voxel `corner`, which counts z, y, x."""
        affine = self.affine.copy()
        affine[:, 3] = self.affine @ [*reversed(corner), 1]
        return Grid(self.shape, affine)

    def size_at(self, steps: Sequence[float] | NDArray[np.float64]) -> float:
        """Voxels that a grid with these steps has, without rounding."""
        affine = zoom_affine(self.affine, steps, diagonal=False)
        places = np.linalg.solve(affine, self.affine @ self.corners)[:3]
        return float(np.prod(np.ptp(places, axis=1) + 1))


def oriented(shape: Sequence[int], affine: NDArray[np.float64]) -> tuple[Grid, NDArray[np.float64]]:
    """The grid with its axes nearest to right, anterior, superior; and how to turn an array."""
    turn = io_orientation(affine)
    sizes = [0, 0, 0]
    for axis, size in enumerate(shape[:3]):
        sizes[int(turn[axis, 0])] = size
    return Grid(tuple(sizes), affine @ inv_ornt_aff(turn, tuple(shape[:3]))), turn


def resample(
    values: Tensor, *, source: Grid, target: Grid, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Values (..., x, y, z) of `source` at the voxels of `target`, in single precision.

    A voxel is NaN where one that it is made of is not finite, and where it lies outside of the
    source: more than half a voxel beyond its outermost ones. A large target goes slab by slab, for
    which places alone would take many times the memory of the result.
    """
    slabs = target.slabs(SLAB)
    if len(slabs) == 1:
        return _resampled(values, source=source, target=target, mode=mode)
    result = torch.empty(*values.shape[:-3], *target.shape)
    for part, slab in slabs:
        result[..., part, :, :] = resampled_near(values, source=source, target=slab, mode=mode)
    return result


def resampled_near(
    values: Tensor, *, source: Grid, target: Grid, mode: Literal["bilinear", "nearest"]
) -> Tensor:
    """As `resample`, of the voxels alone that a small target needs."""
    (x, y, z), near = source.near(target)
    return _resampled(values[..., x, y, z].float(), source=near, target=target, mode=mode)


def _resampled(
    values: Tensor, *, source: Grid, target: Grid, mode: Literal["bilinear", "nearest"]
) -> Tensor:
    onto = SpatialResample(mode=mode, padding_mode="border", align_corners=False, dtype=np.float32)

    def at_target(tensor: Tensor) -> Tensor:
        channels = tensor.reshape(-1, *tensor.shape[-3:])
        image = MetaTensor(channels, affine=torch.from_numpy(source.affine))
        affine = torch.from_numpy(target.affine)
        moved = cast(MetaTensor, onto(image, dst_affine=affine, spatial_size=list(target.shape)))
        return moved.as_tensor().reshape(*tensor.shape[:-3], *target.shape)

    finite = torch.isfinite(values)
    if bool(finite.all()):
        result = at_target(values)
    else:
        result = at_target(values.masked_fill(~finite, 0.0))
        result = result.masked_fill(at_target(finite.to(torch.float32)) <= 0.999, torch.nan)
    outside = _outside(source, target)
    return result if outside is None else result.masked_fill(outside, torch.nan)


def _outside(source: Grid, target: Grid) -> Tensor | None:
    """Voxels (x, y, z) of `target` outside of `source`; none where there are none."""
    to_source = np.linalg.solve(source.affine, target.affine)[:3]
    limits = np.array(source.shape) - 0.5
    corners = to_source @ target.corners
    if (corners >= -0.5).all() and (limits >= corners.T).all():
        return None
    outside = torch.zeros(target.shape, dtype=torch.bool)
    for row, limit in zip(torch.from_numpy(to_source), limits, strict=True):
        place = row[3:]
        for axis, size in enumerate(target.shape):
            # What does not change the place by a thousandth of a voxel costs no memory.
            if abs(float(row[axis])) * size > 1e-3:
                along = row[axis] * torch.arange(size, dtype=torch.float64)
                place = place + along.reshape([-1 if a == axis else 1 for a in range(3)])
        outside |= (place < -0.5) | (place > limit)
    return outside
