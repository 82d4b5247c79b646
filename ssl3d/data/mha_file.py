"""MetaImage with ITK, which does not say where compressed data are damaged: that is done here."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import itk
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import Scan, ends_early


def open_file(path: Path) -> Scan:
    """See `open_scan`."""
    io = itk.MetaImageIO.New()
    io.SetFileName(str(path))
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
    needed = math.prod(shape) * int(io.GetComponentSize())

    def read() -> NDArray[Any]:
        _check(path, needed=needed)
        return np.asarray(itk.array_from_image(itk.imread(str(path)))).T

    return Scan(path, shape, affine, (), read)


def _check(path: Path, *, needed: int) -> None:
    """Whether the `needed` bytes of voxels are there, and compressed ones as they were written."""
    with path.open("rb") as stream:
        header = {}
        for line in stream:
            key, _, value = line.decode("latin-1").partition("=")
            header[key.strip().lower()] = value.strip().lower()
            if key.strip().lower() == "elementdatafile":
                break
        if header.get("elementdatafile") != "local":
            return
        if header.get("compresseddata") == "true":
            unpack, got = zlib.decompressobj(), 0
            while not unpack.eof and (chunk := stream.read(1 << 20)):
                got += len(unpack.decompress(chunk))
            if not unpack.eof:
                raise EOFError("they end early")
        elif header.get("binarydata", "true") == "true":
            got = path.stat().st_size - stream.tell()
        else:
            return
    if got < needed:
        raise ends_early(path, got=got, needed=needed)
