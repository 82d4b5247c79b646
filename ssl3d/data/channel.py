"""One file as a channel of a sample: its header, its grid, and whether that is another's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.grid import Grid, oriented
from ssl3d.data.scan import Scan, open_scan

SAME_PLACE = 0.01
"""In voxels: below it, grids of two files differ by the rounding of their headers."""


@dataclass(frozen=True, eq=False)
class Channel:
    """A file.

    Attributes:
        scan: its header.
        grid: where its voxels are, in RAS.
        turn: how its array is turned to that.
    """

    scan: Scan
    grid: Grid
    turn: NDArray[np.float64]


def open_channel(path: Path) -> Channel:
    """The header of a file.

    Raises:
        BadVolume: it cannot be used, or is no 3D volume.
    """
    scan = open_scan(path)
    _check_geometry(scan)
    return Channel(scan, *oriented(scan.shape, scan.affine))


def _check_geometry(scan: Scan) -> None:
    """Trailing axes of one are no axes."""
    edges = scan.shape[:3]
    if any(size != 1 for size in scan.shape[3:]):
        raise BadVolume(
            scan.path,
            f"shape {scan.shape} has {len(scan.shape)} dimensions, 3 are needed: split it into 3D "
            "files and give them as data.channels",
        )
    if len(edges) < 3 or min(edges) < 2:
        raise BadVolume(scan.path, f"shape {scan.shape} is a 2D image, a 3D volume is needed")
    linear = scan.affine[:3, :3]
    steps = np.linalg.norm(linear, axis=0) if np.isfinite(scan.affine).all() else np.zeros(3)
    sane = steps.min() > 1e-9 and steps.max() < 1e9
    if not sane or not abs(np.linalg.det(linear / steps)) > 1e-3:
        raise BadVolume(scan.path, "its header gives no usable voxel size and orientation")


def shift(grid: Grid, first: Grid) -> float:
    """How far voxels of the same index lie apart at most, in voxels of `first`."""
    apart = np.linalg.solve(first.affine, grid.affine @ first.corners) - first.corners
    return float(np.abs(apart[:3]).max())


def check_same_grid(channel: Channel, first: Channel, *, what: str = "channels") -> None:
    """Two files of one sample: alike in size, and less than a voxel apart.

    Raises:
        BadVolume: they are not; calls them `what`.
    """
    path, grid, name = channel.scan.path, channel.grid, first.scan.path.name
    if grid.shape != first.grid.shape:
        raise BadVolume(
            path,
            f"{grid.shape} voxels (x, y, z), but {name} has {first.grid.shape}: {what} must "
            "share one grid",
        )
    apart = ((grid.affine - first.grid.affine) @ grid.corners)[:3]
    far = np.linalg.norm(apart, axis=0).max()
    if far > first.grid.steps.min():
        raise BadVolume(
            path,
            f"lies up to {far:.1f} mm away from {name}: register the {what} to one grid first",
        )
