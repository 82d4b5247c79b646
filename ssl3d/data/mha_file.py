"""MetaImage: the header with ITK, the voxels by hand: ITK reads damaged ones, and says nothing."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import itk
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import Scan, ends_early

# `MET_ValueTypeSize` of MetaIO's metaTypes.h: a LONG has 4 bytes.
_TYPES = {
    "MET_CHAR": "i1",
    "MET_SHORT": "i2",
    "MET_INT": "i4",
    "MET_LONG": "i4",
    "MET_UCHAR": "u1",
    "MET_USHORT": "u2",
    "MET_UINT": "u4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
# Fields of one meaning, and what is assumed without them.
_ASSUMED = {
    ("TransformMatrix", "Rotation", "Orientation"): "gives no TransformMatrix: its axes are taken "
    "as left, posterior, superior",
    ("ElementSpacing", "ElementSize"): "gives no ElementSpacing: voxels are taken as 1 mm",
    ("Offset", "Position", "Origin"): "gives no Offset: the first voxel is taken to lie at 0, 0, 0",
}
_UNITS = {"um": 0.001, "cm": 10.0, "m": 1000.0}


def open_file(path: Path) -> Scan:
    """See `open_scan`."""
    io = itk.MetaImageIO.New()
    try:
        io.SetFileName(str(path))
    except TypeError as error:
        raise BadVolume(path, "cannot be read: ITK takes UTF-8 names only, rename it") from error
    io.ReadImageInformation()
    if io.GetNumberOfComponents() != 1:
        raise BadVolume(path, "its voxels are colours or vectors, not one value")
    axes = range(io.GetNumberOfDimensions())
    shape = tuple(int(io.GetDimensions(axis)) for axis in axes)
    affine = np.eye(4)
    for axis in axes[:3]:
        affine[: len(axes[:3]), axis] = np.array(io.GetDirection(axis))[:3] * io.GetSpacing(axis)
        affine[axis, 3] = io.GetOrigin(axis)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK counts to the left and back
    with path.open("rb") as stream:
        header, start = _header(path, stream), stream.tell()
    notes = [said for keys, said in _ASSUMED.items() if header.keys().isdisjoint(keys)]
    unit = header.get("DistanceUnits", "mm")  # which ITK passes over
    if unit not in ("mm", "?"):
        affine[:3] *= _UNITS.get(unit, 1.0)
        notes.append(f"counts in {unit}: one is taken as {_UNITS.get(unit, 1.0):g} mm")
    name = header["ElementDataFile"]
    if name.upper().startswith("LIST") or "%" in name:
        raise BadVolume(path, "its voxels are in a file for each slice: write it as one file")
    data = path if name.upper() == "LOCAL" else path.parent / name

    def read() -> NDArray[Any]:
        return _read(data, header, start=start if data == path else 0, shape=shape)

    return Scan(path, shape, affine, tuple(notes), read, beside=() if data == path else (data,))


def _header(path: Path, stream: BinaryIO) -> dict[str, str]:
    """The fields of a header; the stream is left where it ends."""
    header = {}
    for line in stream:
        key, _, value = re.sub("[=:]", "=", line.decode("latin-1"), count=1).partition("=")
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    if header.get("ElementType") not in _TYPES or not header.get("ElementDataFile"):
        raise BadVolume(path, "cannot be read: its header names no type of number, or no data")
    return header


def _read(
    data: Path, header: dict[str, str], *, start: int, shape: tuple[int, ...]
) -> NDArray[Any]:
    """The voxels in a file's bytes from `start`."""

    def says(key: str, *, default: str = "False") -> bool:
        return header.get(key, default)[:1] in ("T", "t", "1")

    most = says("BinaryDataByteOrderMSB") or says("ElementByteOrderMSB")
    dtype = np.dtype(_TYPES[header["ElementType"]]).newbyteorder(">" if most else "<")
    needed = math.prod(shape) * dtype.itemsize
    skipped = int(header.get("HeaderSize", 0))
    with data.open("rb") as stream:
        stream.seek(skipped if skipped > 0 else start)
        if not says("BinaryData", default="True"):
            words = stream.read().split()
            content = np.array(words[: math.prod(shape)]).astype(dtype).tobytes()
        elif says("CompressedData"):
            content = _unpacked(stream, most=needed)
        else:
            content = stream.read()
            content = content[-needed:] if skipped < 0 else content[:needed]
    if len(content) < needed:
        raise ends_early(data, got=len(content), needed=needed)
    voxels = np.frombuffer(content, dtype=dtype).reshape(shape, order="F")
    slope = float(header.get("ElementToIntensityFunctionSlope", 1))
    offset = float(header.get("ElementToIntensityFunctionOffset", 0))
    return voxels if (slope, offset) == (1.0, 0.0) else voxels * slope + offset


def _unpacked(stream: BinaryIO, *, most: int) -> bytes:
    """What zlib or gzip data hold, their checksum verified."""
    unpack, parts, got = zlib.decompressobj(zlib.MAX_WBITS | 32), list[bytes](), 0
    while not unpack.eof and (chunk := stream.read(1 << 20)):
        parts.append(unpack.decompress(chunk))
        got += len(parts[-1])
        if got > most:
            raise ValueError("it has more voxels than its header says")
    if not unpack.eof:
        raise EOFError("they end early")
    return b"".join(parts)
