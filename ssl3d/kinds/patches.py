"""The hidden patches of a level of views, with what a step needs of them: made once a step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

EPSILON = 1e-6
"""Added to the variance under the root."""

NO_CONTRAST = 1e-6
"""A patch of a channel whose variance is at most this, in squared units of the volume, is air."""


@dataclass(frozen=True, eq=False)
class PatchStatistics:
    """Mean and variance of each patch and channel over its valid voxels.

    Attributes:
        mean: (M, 1, C), or (M, 1, 1) of all channels together; 0 in a patch without a valid voxel.
        variance: likewise.
    """

    mean: Tensor
    variance: Tensor

    @property
    def contrast(self) -> Tensor:
        """(M, 1, C) or (M, 1, 1) bool: the patch is more than air or padding in this channel."""
        return self.variance > NO_CONTRAST

    def normalise(self, patches: Tensor) -> Tensor:
        """(M, V, C) intensities to (x - mean) / sqrt(variance + 1e-6)."""
        return (patches - self.mean) / (self.variance + EPSILON).sqrt()

    def denormalise(self, patches: Tensor) -> Tensor:
        """(M, V, C) normalised values to intensities: the inverse of `normalise`."""
        return patches * (self.variance + EPSILON).sqrt() + self.mean


@dataclass(frozen=True, eq=False)
class HiddenPatches:
    """The hidden patches of a level of views: M of V voxels.

    Attributes:
        positions: (M,) raster index of each patch in the batch's R·Gd·Gh·Gw cells.
        prediction: (M, V, C) in units of the target, at least single precision.
        target: (M, V, C), without gradient.
        scored: (M, V, C) bool, what a loss may count: valid voxels, and for the normalised target
            only in channels with contrast. Elsewhere the values mean nothing and may be NaN.
        valid: (M, V, 1) bool, or (M, V, C) where samples lack channels; None where all voxels are
            valid.
        statistics: by which the target was normalised; None where it was not.
    """

    positions: Tensor
    prediction: Tensor
    target: Tensor
    scored: Tensor
    valid: Tensor | None = None
    statistics: PatchStatistics | None = None

    @cached_property
    def counts(self) -> Tensor:
        """(M,) values of each patch that are scored."""
        return self.scored.sum((1, 2))

    def intensities(self, values: Tensor) -> Tensor:
        """(M, V, C) in units of the target to intensities, 0 where not valid."""
        if self.statistics is not None:
            values = self.statistics.denormalise(values)
        return values if self.valid is None else values.where(self.valid, 0)
