"""A DICOM series with pydicom: every file of it judged by its header, and read by its own scaling.

pydicom, and not a reader of whole series: readers of whole series take distance and scaling of the
first slices for all, and pass over gaps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from ssl3d.data.data_error import BadVolume
from ssl3d.data.dicom.header import Frame, Header
from ssl3d.data.dicom.series import members
from ssl3d.data.dicom.stack import Stack, stack
from ssl3d.data.scan import Scan


def open_file(path: Path) -> Scan:
    """See `open_scan`; `path` is that of a series, or of one of its files."""
    files, notes = members(path)
    headers = [header for _, header in files]
    patients = {header.patient for header in headers} - {""}
    if len(patients) > 1:
        raise BadVolume(
            path,
            f"its slices are of {len(patients)} patients: name the folder of each, or give each "
            "series an UID of its own",
        )
    sizes = {(header.columns, header.rows) for header in headers}
    if len(sizes) > 1:
        raise BadVolume(path, f"its slices have {len(sizes)} sizes, such as {sorted(sizes)[:2]}")
    if any(header.samples != 1 for header in headers):
        raise BadVolume(path, "its pixels are colours, not one value")
    frames = [frame for header in headers for frame in header.frames]
    if len(frames) < 2:
        raise BadVolume(path, "it is a single slice, a 3D volume is needed")
    order = stack(frames, path=path)
    (size,) = sizes

    def read() -> NDArray[Any]:
        return _read(files, frames=frames, order=order, path=path)

    return Scan(
        path,
        (*size, len(order.share)),
        order.affine,
        (*notes, *order.notes),
        read,
        beside=tuple(file for file, _ in files),
    )


def _read(
    files: list[tuple[Path, Header]], *, frames: list[Frame], order: Stack, path: Path
) -> NDArray[Any]:
    """Values (x, y, z) in the unit of the file; where nothing was measured they are masked."""
    place = np.empty(len(frames), dtype=np.int64)
    place[order.order] = np.arange(len(frames))
    padded = any(header.padding for _, header in files)
    kind = _dtype(files, frames=frames)
    values = np.empty((len(frames), files[0][1].rows, files[0][1].columns), dtype=kind)
    outside = np.zeros(values.shape if padded else (0,), dtype=bool)
    number = 0
    for file, header in files:
        stored = _pixels(file, path=path).reshape(len(header.frames), header.rows, header.columns)
        for one in stored:
            frame, at = frames[number], place[number]
            values[at] = (
                one if kind.kind == "i" and frame.slope == 1 else one * kind.type(frame.slope)
            )
            values[at] += kind.type(frame.intercept)
            if header.padding:
                low, high = header.padding
                outside[at] = (one >= low) & (one <= high)
            number += 1
    empty = np.broadcast_to(~order.measured[:, None, None], (len(order.share), *values.shape[1:]))
    if order.share.any():
        share = order.share[:, None, None].astype(np.float32)
        values = values[order.below] * (1 - share) + values[order.above] * share
    else:
        values = values[order.below]
    if padded:
        empty = empty | outside[order.below] | outside[order.above]
    if empty.all():
        raise BadVolume(path, "nothing in it was measured: all of it is padding")
    turned = values.transpose(2, 1, 0)
    return np.ma.MaskedArray(turned, mask=empty.transpose(2, 1, 0)) if empty.any() else turned


def _dtype(files: list[tuple[Path, Header]], *, frames: list[Frame]) -> np.dtype[Any]:
    whole = all(frame.slope == 1 and frame.intercept.is_integer() for frame in frames)
    short = all(header.bits <= 16 for _, header in files)
    if whole:
        return np.dtype(np.int32 if short else np.int64)
    return np.dtype(np.float32 if short else np.float64)


def _pixels(file: Path, *, path: Path) -> NDArray[Any]:
    try:
        # The whole file first: pydicom looks for the pixels of a deflated one in vain.
        return pixel_array(pydicom.dcmread(file), raw=True)
    except Exception as error:  # pydicom raises whatever its decoders raise
        line = " ".join(str(error).split())
        if "missing dependencies" in line or "plugins" in line:
            line += ": install python-gdcm"
        raise BadVolume(path, f"{file.name} cannot be read: {line[:300]}") from error
