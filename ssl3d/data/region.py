"""What data cut around a sample, and boxes of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ssl3d.geometry import Triple, show
from ssl3d.kinds.resized import resized


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
        """A box; resampled by `resized`.

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
        larger, whole = resized(volume[None], valid[None], size=size)
        assert whole is not None
        return larger[0], whole[0]
