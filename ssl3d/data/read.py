"""One sample's files as one tensor: read, turned to RAS, brought onto one grid, resampled.

What is judged by headers before a run and what is done when a volume is read come from the same
functions: `open_scan` and `_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from nibabel.orientations import apply_orientation
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.data.data_error import BadVolume
from ssl3d.data.files import Source
from ssl3d.data.grid import Grid, oriented, resample
from ssl3d.data.scan import Scan, open_scan

# 4 GB of float32 a channel: beyond it the spacing in the file (or the spec) is surely a mistake.
MAX_VOXELS = 10**9
# In voxels: below it, grids of two files differ by the rounding of their headers.
SAME_PLACE = 0.01


@dataclass(frozen=True, eq=False)
class _Channel:
    scan: Scan
    grid: Grid
    turn: NDArray[np.float64]


def check_header(path: Path, *, spacing: Sequence[float] | None = None) -> tuple[str, ...]:
    """Judge a file by its header alone, cheaply; what had to be assumed is returned.

    Raises:
        BadVolume: unreadable, not 3D, not a number per voxel, no geometry, too large.
    """
    return tuple(note for _, note in check_source(Source((path,)), spacing=spacing))


def check_source(
    source: Source, *, spacing: Sequence[float] | None = None
) -> list[tuple[Path, str]]:
    """Judge the files of a sample by their headers; (file, what is assumed or done) for each note.

    Raises:
        BadVolume: a file cannot be used, or the channels do not share one grid.
    """
    channels, target = _plan(source, spacing)
    notes = [(channel.scan.path, note) for channel in channels for note in channel.scan.notes]
    first = channels[0]
    if spacing is None and target is not first.grid:
        note = (
            "is sheared, as is a CT with a tilted gantry: it is resampled onto axes at right angles"
        )
        notes.append((first.scan.path, note))
    for channel in channels[1:]:
        if _shift(channel.grid, first.grid) > SAME_PLACE:
            note = "lies a part of a voxel beside the first channel: it is resampled onto it"
            notes.append((channel.scan.path, note))
    return notes


def target_grid(source: Source, *, spacing: Sequence[float] | None = None) -> Grid:
    """The grid that a sample is brought onto, by the headers of its files.

    Raises:
        BadVolume: a file cannot be used, or the files do not share one grid.
    """
    return _plan(source, spacing)[1]


def read_source(
    source: Source,
    *,
    spacing: Sequence[float] | None = None,
    mode: Literal["bilinear", "nearest"] = "bilinear",
    check: Callable[[Path, NDArray[Any]], None] | None = None,
    skip: int = 0,
) -> tuple[Tensor, Tensor]:
    """Read the channels of a sample, oriented to RAS and resampled to `spacing` (z, y, x, in mm).

    A sheared volume is resampled onto an orthogonal grid, with `spacing` or without; a channel that
    lies up to a voxel beside the first is resampled onto it.

    Args:
        source: the sample.
        spacing: voxel size, in mm; none: as in the first file.
        mode: how values are found between voxels; "nearest" for labels.
        check: given each file and its voxels as they are stored, without those that the file says
            were not measured, before anything is done to them; raises BadVolume for those that
            cannot be used.
        skip: first channels that give the grid and are not read.

    Returns:
        `volume`, float32 (C, z, y, x) in the files' unit, z upwards, y to the front, x to the
        right, and the affine (4, 4) that takes (x, y, z, 1) indices to mm. Voxels that are not
        finite in the file, those interpolated from them, and those outside of the scan are NaN.

    Raises:
        BadVolume: a file cannot be used, or the channels do not share one grid.
    """
    channels, target = _plan(source, spacing)
    first, volumes = channels[0].grid, []
    for channel in channels[skip:]:
        voxels = channel.scan.voxels()
        masked = voxels if isinstance(voxels, np.ma.MaskedArray) else None
        if check is not None:
            check(channel.scan.path, voxels if masked is None else masked.compressed())
        if masked is not None:
            voxels = np.where(masked.mask, np.float32(np.nan), masked.data.astype(np.float32))
        turned = apply_orientation(voxels.reshape(voxels.shape[:3]), channel.turn)
        with np.errstate(over="ignore"):
            values = torch.from_numpy(np.array(turned, dtype=np.float32, order="C"))
        del voxels, turned
        grid = channel.grid if _shift(channel.grid, first) > SAME_PLACE else first
        if target is not grid:
            values = resample(values, source=grid, target=target, mode=mode)
        volumes.append(values.masked_fill_(~torch.isfinite(values), torch.nan))
    # Files count x, y, z; everything here counts z, y, x.
    volume = torch.stack(volumes).permute(0, 3, 2, 1).contiguous()
    return volume, torch.from_numpy(target.affine)


def _plan(source: Source, spacing: Sequence[float] | None) -> tuple[list[_Channel], Grid]:
    """Channels by their headers, and the grid that they are brought onto."""
    channels = []
    for path in source.files:
        scan = open_scan(path)
        _check_geometry(scan)
        channels.append(_Channel(scan, *oriented(scan.shape, scan.affine)))
    first = channels[0]
    for channel in channels[1:]:
        _check_same_grid(channel, first)
    sheared = first.grid.orthogonal_steps()
    if spacing is None and sheared is None:
        return channels, first.grid
    steps = sheared if spacing is None else np.array(tuple(reversed(spacing)))
    assert steps is not None
    _check_size(first, steps)
    return channels, first.grid.resampled(steps)


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


def _check_size(channel: _Channel, steps: NDArray[np.float64]) -> None:
    voxels = channel.grid.size_at(steps)
    if voxels > MAX_VOXELS:
        own = tuple(round(float(step), 3) for step in channel.grid.steps)
        raise BadVolume(
            channel.scan.path,
            f"resampled from {own} mm it would have {voxels:.1e} voxels, {MAX_VOXELS:.0e} are "
            "allowed: check its voxel size and data.spacing",
        )


def _shift(grid: Grid, first: Grid) -> float:
    """How far voxels of the same index lie apart at most, in voxels of `first`."""
    apart = np.linalg.solve(first.affine, grid.affine @ first.corners) - first.corners
    return float(np.abs(apart[:3]).max())


def _check_same_grid(channel: _Channel, first: _Channel) -> None:
    path, grid, name = channel.scan.path, channel.grid, first.scan.path.name
    if grid.shape != first.grid.shape:
        raise BadVolume(
            path,
            f"{grid.shape} voxels (x, y, z), but {name} has {first.grid.shape}: channels must "
            "share one grid",
        )
    apart = ((grid.affine - first.grid.affine) @ grid.corners)[:3]
    shift = np.linalg.norm(apart, axis=0).max()
    if shift > first.grid.steps.min():
        raise BadVolume(
            path,
            f"lies up to {shift:.1f} mm away from {name}: register the channels to one grid first",
        )
