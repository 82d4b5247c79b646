"""NIfTI by its standard: which of the header's three geometries counts, and whole files only."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.openers import ImageOpener
from nibabel.quaternions import quat2mat
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import Scan, ends_early

# Bytes that one byte of a gzip file can stand for, at most.
_MOST_PACKED = 1032
# Lower three bits of xyzt_units: name, and mm in one.
_UNITS = {0: ("mm", 1.0), 1: ("metre", 1000.0), 2: ("mm", 1.0), 3: ("micron", 0.001)}


def open_file(path: Path) -> Scan:
    """See `open_scan`."""
    image: Any = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Pair):  # all others of NIfTI are such
        raise BadVolume(path, f"a {type(image).__name__} is no volume")
    if image.header.get_data_dtype().kind not in "iuf":
        raise BadVolume(path, "its voxels are colours or complex numbers, not one value")
    with ImageOpener(str(path)) as stream:
        # nibabel.load mends the header, a voxel size of 0 becomes 1: here it is as stored.
        header = type(image.header).from_fileobj(stream, check=False)
    least = image.header.single_vox_offset
    if header["magic"].tobytes().startswith(b"n+") and not header["vox_offset"] >= least:
        raise BadVolume(
            path,
            f"its header says that voxels begin at byte {header['vox_offset']}, in the header "
            f"itself: they begin at {least} or later",
        )
    shape = tuple(int(size) for size in image.shape)
    needed = math.prod(shape) * image.header.get_data_dtype().itemsize
    data: Any = image.dataobj
    voxels = Path(image.file_map["image"].filename or path)  # of a pair .hdr and .img the latter
    got = max(0, voxels.stat().st_size - data.offset)
    if voxels.suffix.lower() == ".gz":
        got = voxels.stat().st_size * _MOST_PACKED
    if got < needed:
        raise ends_early(voxels, got=got, needed=needed)
    affine, notes = geometry(header)
    beside = () if voxels == path else (voxels,)
    return Scan(path, shape, affine, notes, lambda: _read(path, type(image)), beside=beside)


def geometry(header: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Affine (4, 4) from indices to mm in RAS, and what had to be assumed.

    Source: nifti1.h, "3D image (volume) orientation and location in space": method 3 where
    sform_code > 0, else method 2 where qform_code > 0, else method 1.
    """
    notes = []
    affine = np.eye(4)
    steps = np.abs(header["pixdim"][1:4].astype(np.float64))
    if header["sform_code"] > 0:
        affine[:3] = [header["srow_x"], header["srow_y"], header["srow_z"]]
    elif header["qform_code"] > 0:
        b, c, d = (float(header[f"quatern_{axis}"]) for axis in "bcd")
        a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        qfac = -1.0 if header["pixdim"][0] < 0 else 1.0
        affine[:3, :3] = quat2mat([a, b, c, d]) * (steps * (1.0, 1.0, qfac))
        affine[:3, 3] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    else:
        affine[:3, :3] = np.diag(steps)
        notes.append(
            "gives no orientation (sform_code and qform_code are 0): its axes are taken as right, "
            "anterior, superior, with the voxel size of pixdim"
        )
    code = int(header["xyzt_units"]) & 7
    unit, scale = _UNITS.get(code, (f"the unknown unit {code}", 1.0))
    affine[:3] *= scale
    if unit != "mm":
        notes.append(f"counts in {unit}: one is taken as {scale:g} mm")
    return affine, tuple(notes)


def _read(path: Path, kind: type[Any]) -> NDArray[Any]:
    if path.suffix.lower() != ".gz":
        # No memory map: a file that shrinks under it would end the process.
        return np.asarray(kind.from_filename(path, mmap=False).dataobj)
    with gzip.open(path) as stream:
        voxels = np.asarray(kind.from_stream(stream).dataobj)
        # The checksum and the length stand at the end: nibabel stops before it.
        while stream.read(1 << 20):
            pass
    return voxels
