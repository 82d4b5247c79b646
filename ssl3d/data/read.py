"""One sample's files as one tensor: read, turned to RAS, brought onto one grid, resampled.

What is judged by headers before a run and what is done when a volume is read come from the same
functions: `open_scan` and `_plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from nibabel.orientations import apply_orientation
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.data.channel import SAME_PLACE, Channel, check_same_grid, open_channel, shift
from ssl3d.data.data_error import BadVolume
from ssl3d.data.grid import Grid, resample
from ssl3d.data.source import Source
from ssl3d.data.valid_mask import check_mask, mask_on, read_mask
from ssl3d.data.valid_region import body, padding
from ssl3d.data.valid_spec import ValidRegion

# 4 GB of float32 a channel: beyond it the spacing in the file (or the spec) is surely a mistake.
MAX_VOXELS = 10**9


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
        if shift(channel.grid, first.grid) > SAME_PLACE:
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
    region: ValidRegion | None = None,
    skip: int = 0,
) -> tuple[Tensor, Tensor]:
    """Read the channels of a sample, oriented to RAS and resampled to `spacing` (z, y, x, in mm).

    A sheared volume is resampled onto an orthogonal grid, with `spacing` or without; a channel that
    lies up to a voxel beside the first is resampled onto it.

    Args:
        source: the sample.
        spacing: voxel size, in mm; none: as in the first file.
        mode: how values are found between voxels; "nearest" for labels.
        check: given each file and its voxels as they are stored, without those that by the file
            were not measured or by the sample's mask are not valid, before anything is done to
            them; raises BadVolume for those that cannot be used.
        region: which voxels say nothing, found in them as they are stored: padding in each channel,
            the body in the first; none: nothing is found.
        skip: first channels that give the grid and are not read.

    Returns:
        `volume`, float32 (C, z, y, x) in the files' unit, z upwards, y to the front, x to the
        right, and the affine (4, 4) that takes (x, y, z, 1) indices to mm. Voxels that are not
        finite in the file or not valid by mask or region, those interpolated from them, and those
        outside of the scan are NaN.

    Raises:
        BadVolume: a file cannot be used, or the channels do not share one grid.
    """
    if region is not None and region.body is not None and 0 in source.lacking:
        raise BadVolume(
            source.name, "lacks the first channel, in which data.valid_region.body looks for a body"
        )
    channels, target = _plan(source, spacing)
    first, volumes = channels[0].grid, []
    mask = None if source.valid is None else read_mask(source.valid, first=channels[0])
    for channel in channels[skip:]:
        stored = channel.scan.voxels()
        turned = _turned(np.ma.getdata(stored), channel)
        known = None
        if isinstance(stored, np.ma.MaskedArray):
            known = ~_turned(np.ma.getmaskarray(stored), channel)
        if mask is not None:
            inside = mask_on(channel.grid, mask, own=first).numpy() > 0
            known = inside if known is None else known & inside
        if known is not None and not known.any():
            raise BadVolume(channel.scan.path, "nothing of what was measured is valid by its mask")
        if check is not None:
            check(channel.scan.path, turned if known is None else turned[known])
        with np.errstate(over="ignore"):
            values = torch.from_numpy(np.array(turned, dtype=np.float32, order="C"))
        if known is not None:
            values.masked_fill_(torch.from_numpy(~known), torch.nan)
        if region is not None and region.padding:
            values.masked_fill_(torch.from_numpy(padding(turned)), torch.nan)
        if region is not None and region.body is not None and channel is channels[0]:
            own = torch.from_numpy(body(values.numpy(), threshold=region.body)).float()
            if not own.any():
                raise BadVolume(
                    channel.scan.path, f"no voxel is above data.valid_region.body {region.body}"
                )
            mask = own if mask is None else own * mask
            values.masked_fill_(own == 0, torch.nan)
        del stored, turned, known
        grid = channel.grid if shift(channel.grid, first) > SAME_PLACE else first
        if target is not grid:
            values = resample(values, source=grid, target=target, mode=mode)
        volumes.append(values.masked_fill_(~torch.isfinite(values), torch.nan))
    # Files count x, y, z; everything here counts z, y, x.
    volume = torch.stack(volumes).permute(0, 3, 2, 1).contiguous()
    return volume, torch.from_numpy(target.affine)


def _turned(voxels: NDArray[Any], channel: Channel) -> NDArray[Any]:
    """Along x, y, z in RAS."""
    turned: NDArray[Any] = apply_orientation(voxels.reshape(voxels.shape[:3]), channel.turn)
    return turned


def _plan(source: Source, spacing: Sequence[float] | None) -> tuple[list[Channel], Grid]:
    """Channels by their headers, and the grid that they are brought onto."""
    channels = [open_channel(path) for path in source.files]
    first = channels[0]
    for channel in channels[1:]:
        check_same_grid(channel, first)
    if source.valid is not None:
        check_mask(source.valid, first=first)
    sheared = first.grid.orthogonal_steps()
    if spacing is None and sheared is None:
        return channels, first.grid
    steps = sheared if spacing is None else np.array(tuple(reversed(spacing)))
    assert steps is not None
    _check_size(first, steps)
    return channels, first.grid.resampled(steps)


def _check_size(channel: Channel, steps: NDArray[np.float64]) -> None:
    voxels = channel.grid.size_at(steps)
    if voxels > MAX_VOXELS:
        own = tuple(round(float(step), 3) for step in channel.grid.steps)
        raise BadVolume(
            channel.scan.path,
            f"resampled from {own} mm it would have {voxels:.1e} voxels, {MAX_VOXELS:.0e} are "
            "allowed: check its voxel size and data.spacing",
        )
