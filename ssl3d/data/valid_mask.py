"""Masks of valid voxels, as files beside the volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from nibabel.orientations import apply_orientation
from torch import Tensor

from ssl3d.data.channel import SAME_PLACE, Channel, check_same_grid, open_channel, shift
from ssl3d.data.data_error import BadVolume
from ssl3d.data.grid import Grid, resample

WHAT = "image and mask"


def check_mask(path: Path, *, first: Channel) -> None:
    """Judge a mask by its header.

    Raises:
        BadVolume: it cannot be used, or lies on another grid than the image.
    """
    check_same_grid(open_channel(path), first, what=WHAT)


def read_mask(path: Path, *, first: Channel) -> Tensor:
    """(x, y, z) float32 on the grid of the first channel, in RAS: 1 where valid, else 0.

    Raises:
        BadVolume: the mask cannot be used, marks nothing, or lies on another grid than the image.
    """
    mask = open_channel(path)
    check_same_grid(mask, first, what=WHAT)
    voxels = np.ma.filled(mask.scan.voxels(), 0)
    inside = (voxels != 0) & np.isfinite(voxels)
    if not inside.any():
        raise BadVolume(path, "every voxel of this mask is 0: nothing is valid")
    turned = apply_orientation(inside.reshape(inside.shape[:3]), mask.turn)
    values = torch.from_numpy(np.array(turned, dtype=np.float32, order="C"))
    return mask_on(first.grid, values, own=mask.grid)


def mask_on(grid: Grid, values: Tensor, *, own: Grid) -> Tensor:
    """A mask on `own` grid, on another one that lies less than a voxel beside it."""
    if shift(own, grid) <= SAME_PLACE:
        return values
    return resample(values, source=own, target=grid, mode="nearest").nan_to_num_(0.0)
