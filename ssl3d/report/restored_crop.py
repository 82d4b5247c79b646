"""What a picture shows: one channel of a crop, restored where it was hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl3d.report.anatomy import spacing_of
from ssl3d.report.frame import aspect_of, greys_of, height_of


@dataclass(frozen=True, eq=False)
class RestoredCrop:
    """One channel of a restored crop; every array is (D, H, W), in RAS orientation.

    Attributes:
        original: intensities.
        restored: the same with hidden cells replaced by the prediction.
        valid: bool, what is data.
        hidden: nested levels, bool; the encoder did not see the first.
        corner: (z, y, x) of the crop in its volume.
        affine: (4, 4), from (x, y, z, 1) indices of the volume to mm; None where it is not known,
            and then voxels are drawn as cubes.
        shrink: (z, y, x) voxels of the volume in one of the crop.
    """

    original: NDArray[np.float32]
    restored: NDArray[np.float32]
    valid: NDArray[np.bool_]
    hidden: Sequence[NDArray[np.bool_]]
    corner: Sequence[int] = (0, 0, 0)
    affine: NDArray[np.float64] | None = None
    shrink: tuple[int, int, int] = (1, 1, 1)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel of the crop, (z, y, x)."""
        z, y, x = (1.0, 1.0, 1.0) if self.affine is None else spacing_of(self.affine)
        return (z * self.shrink[0], y * self.shrink[1], x * self.shrink[2])

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Bool, where the prediction can be compared with what was there."""
        scored: NDArray[np.bool_] = self.hidden[0] & self.valid
        return scored

    @property
    def greys(self) -> tuple[float, float]:
        """What is shown black and white."""
        return greys_of(self.original[self.valid])

    def place(self, at: Sequence[int]) -> list[int]:
        """Voxel (z, y, x) of the volume in the middle of one of the crop."""
        steps = zip(self.corner, at, self.shrink, strict=True)
        return [corner + own * step + step // 2 for corner, own, step in steps]

    def middle(self, axis: int) -> int:
        """Middle of the valid part along an axis."""
        other = tuple(a for a in range(3) if a != axis)
        places = np.flatnonzero(self.valid.any(axis=other))
        return int(places[len(places) // 2]) if places.size else self.valid.shape[axis] // 2

    def aspect(self, axis: int) -> float:
        """Height of a voxel over its width in a slice."""
        return aspect_of(self.spacing, axis=axis)

    def height(self, axis: int) -> float:
        """Height of a slice over its width."""
        return height_of(self.original.shape, spacing=self.spacing, axis=axis)
