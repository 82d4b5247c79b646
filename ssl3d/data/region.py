"""What data cut around a sample, and boxes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple, show


@dataclass(frozen=True, eq=False)
class TensorRegion:
    """A region in memory; see `Region`.

    Attributes:
        volume: (C, D, H, W), 0 where not valid.
        valid: (D, H, W) bool.
    """

    volume: Tensor
    valid: Tensor

    @property
    def extent(self) -> Triple:
        """Voxels per axis."""
        d, h, w = self.valid.shape
        return (d, h, w)

    @property
    def channels(self) -> int:
        """Of the volume."""
        return len(self.volume)

    def read(self, corner: Triple, extent: Triple, *, size: Triple) -> tuple[Tensor, Tensor]:
        """A box; resampled, a voxel is valid where all that it is made of are.

        Resampling is trilinear between the centres of voxels; beyond the outer ones the outermost
        value stands.

        Raises:
            ValueError: the box leaves the region.
        """
        ends = zip(corner, extent, self.extent, strict=True)
        if any(c < 0 or e < 1 or c + e > whole for c, e, whole in ends):
            raise ValueError(
                f"a box of {show(extent)} voxels from {corner} leaves the region of "
                f"{show(self.extent)} voxels"
            )
        z, y, x = (slice(c, c + e) for c, e in zip(corner, extent, strict=True))
        volume, valid = self.volume[:, z, y, x], self.valid[z, y, x]
        if size == extent:
            return volume, valid
        resized = F.interpolate(volume[None], size=size, mode="trilinear", align_corners=False)[0]
        whole = _resized_valid(valid, size=size)
        return torch.where(whole, resized, 0), whole


def _resized_valid(valid: Tensor, *, size: Triple) -> Tensor:
    """True where no voxel that is not valid takes part.

    Axis by axis: a share of one axis is far above rounding, the product of three may not be.
    """
    for axis, edge in enumerate(size):
        now = [*valid.shape[:axis], edge, *valid.shape[axis + 1 :]]
        share = F.interpolate(valid[None, None].float(), size=now, mode="trilinear")
        valid = share[0, 0] > 1 - 1e-4
    return valid
