"""What a picture of a segmentation shows: a case with its true and its predicted labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl3d.report.anatomy import spacing_of
from ssl3d.report.frame import aspect_of, greys_of, height_of


@dataclass(frozen=True, eq=False)
class SegmentedCase:
    """One channel of a case; every array is (D, H, W), in RAS orientation.

    Attributes:
        image: intensities.
        valid: bool, what is data.
        truth: class of each voxel from 0, below 0 where nobody labelled.
        guess: predicted class of each voxel.
        names: of the classes from 1.
        affine: (4, 4), from (x, y, z, 1) indices to mm.
    """

    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    truth: NDArray[np.int64]
    guess: NDArray[np.int64]
    names: Sequence[str]
    affine: NDArray[np.float64]

    @property
    def greys(self) -> tuple[float, float]:
        """What is shown black and white."""
        return greys_of(self.image[self.valid])

    def fullest(self, axis: int) -> int:
        """The slice with most true labels; without any with most predicted ones, or the middle."""
        other = tuple(a for a in range(3) if a != axis)
        for labels in (self.truth, self.guess):
            counts = (labels > 0).sum(axis=other)
            if counts.any():
                # The middle of the fullest ones, not the first.
                best = np.flatnonzero(counts == counts.max())
                return int(best[len(best) // 2])
        size: int = self.image.shape[axis]
        return size // 2

    def aspect(self, axis: int) -> float:
        """Height of a voxel over its width in a slice."""
        return aspect_of(spacing_of(self.affine), axis=axis)

    def height(self, axis: int) -> float:
        """Height of a slice over its width."""
        return height_of(self.image.shape, spacing=spacing_of(self.affine), axis=axis)
