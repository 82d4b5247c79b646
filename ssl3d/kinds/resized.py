"""Volumes at another size, in loading processes and on the device alike."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple


def resized(volume: Tensor, valid: Tensor | None, *, size: Triple) -> tuple[Tensor, Tensor | None]:
    """Resample trilinearly between the centres of voxels; beyond the outer ones their value stands.

    A voxel is valid where all that it is made of are.

    Args:
        volume: (R, C, D, H, W), 0 where not valid.
        valid: (R, D, H, W) bool; None where all voxels are valid.
        size: voxels per axis of the result.

    Returns:
        The volume (R, C, *size), 0 where not valid, and what is valid (R, *size), None likewise.
    """
    if tuple(volume.shape[2:]) == size:
        return volume, valid
    larger = F.interpolate(volume, size=size, mode="trilinear", align_corners=False)
    if valid is None:
        return larger, None
    whole = resized_valid(valid, size=size)
    return larger.where(whole[:, None], 0), whole


def resized_valid(valid: Tensor, *, size: Triple) -> Tensor:
    """(R, D, H, W) bool to (R, *size): True where no voxel that is not valid takes part.

    Axis by axis: a share of one axis is far above rounding, the product of three may not be.
    """
    for axis, edge in enumerate(size, start=1):
        if valid.shape[axis] == edge:
            continue
        now = [*valid.shape[1:axis], edge, *valid.shape[axis + 1 :]]
        share = F.interpolate(valid[:, None].float(), size=now, mode="trilinear")
        valid = share[:, 0] > 1 - 1e-4
    return valid
