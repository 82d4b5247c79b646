"""NRRD with pynrrd: every spelling of its spaces, and whole files only."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import nrrd
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.scan import Scan, damaged

# Signs that turn a space into RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
_SHORT = {"ras": "right-anterior-superior", "las": "left-anterior-superior"}
_SHORT["lps"] = "left-posterior-superior"
_UNITS = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), 1000.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters", "millimetres"), 1.0),
    **dict.fromkeys(("um", "\u00b5m", "\u03bcm", "micron", "microns"), 0.001),  # both mu
    **dict.fromkeys(("micrometer", "micrometre", "micrometers", "micrometres"), 0.001),
}


def open_file(path: Path) -> Scan:
    """See `open_scan`."""
    with path.open("rb") as stream:
        header = _header(stream)
    if header["type"] == "block":
        raise BadVolume(path, "its voxels are blocks of bytes, not one value")
    order, affine, notes = geometry(path, header)
    sizes = [int(size) for size in header["sizes"]]

    def read() -> NDArray[Any]:
        return _read(path).transpose(order)

    shape = tuple(sizes[axis] for axis in order)
    data = _data_file(path, header)
    return Scan(path, shape, affine, notes, read, beside=() if data is None else (data,))


def _header(stream: BinaryIO) -> dict[str, Any]:
    """The header; the stream is left where it ends. pynrrd would drop what is not ASCII."""

    def lines() -> Iterator[str]:
        for line in stream:
            yield line.decode("utf-8", "replace")
            if not line.strip():
                return

    header: dict[str, Any] = nrrd.read_header(lines())
    return header


def _data_file(path: Path, header: Mapping[str, Any]) -> Path | None:
    """The file of the voxels, where it is another one."""
    name = header.get("data file", header.get("datafile"))
    if name is None:
        return None
    if str(name).startswith("LIST") or "%" in str(name):
        raise BadVolume(path, "its voxels are in a file for each slice: write it as one file")
    return path.parent / str(name)


def geometry(
    path: Path, header: Mapping[str, Any]
) -> tuple[list[int], NDArray[np.float64], tuple[str, ...]]:
    """(axes, the three in space first; affine to mm in RAS; what had to be assumed).

    Source: "Definition of NRRD File Format", section 5, http://teem.sourceforge.net/nrrd/format.html
    """
    dimension = int(header["dimension"])
    notes = []
    directions = header.get("space directions")
    affine = np.eye(4)
    if directions is not None:
        rows = [np.full(3, np.nan) if row is None else np.asarray(row)[:3] for row in directions]
        # Axes without a direction in space are channels or time.
        spatial = [axis for axis, row in enumerate(rows) if np.isfinite(row).all() and row.any()]
        if len(spatial) != 3 or any(len(rows[axis]) < 3 for axis in spatial):
            raise BadVolume(path, f"{len(spatial)} of its axes have space directions, 3 are needed")
        affine[:3, :3] = np.stack([rows[axis] for axis in spatial], axis=1)
    else:
        spacings = np.asarray(header.get("spacings", np.full(dimension, np.nan)), dtype=np.float64)
        spatial = [axis for axis in range(dimension) if np.isfinite(spacings[axis])][:3]
        if len(spatial) < 3:
            raise BadVolume(path, "its header gives neither space directions nor spacings")
        affine[:3, :3] = np.diag(spacings[spatial])
        notes.append("gives no space directions: its axes are taken as they are stored")
    origin = header.get("space origin")
    if origin is None:
        notes.append("gives no space origin: the first voxel is taken to lie at 0, 0, 0")
    else:
        affine[:3, 3] = np.asarray(origin, dtype=np.float64)[:3]
    units = header.get("space units", ())
    if directions is None and not len(units):
        units = [header["units"][axis] for axis in spatial] if "units" in header else ()
    for axis, unit in enumerate(str(unit).strip('"') for unit in units[:3]):
        scale = _UNITS.get(unit.lower(), 1.0)
        affine[axis] *= scale
        if scale != 1.0 or unit.lower() not in (*_UNITS, "", "nan"):
            notes.append(f"counts in {unit}: one is taken as {scale:g} mm")
    signs, assumed = _signs(header.get("space"))
    affine = np.diag([*signs, 1.0]) @ affine
    rest = [axis for axis in range(dimension) if axis not in spatial]
    return spatial + rest, affine, tuple(dict.fromkeys(notes + assumed))


def _signs(space: Any) -> tuple[tuple[int, int, int], list[str]]:
    """Signs to RAS of a `space`, whose names may be short, upper case, or end in time."""
    name = "-".join(str(space or "").lower().replace("-", " ").split())
    name = name.removesuffix("-time")
    name = _SHORT.get(name[:3] if name in ("rast", "last", "lpst") else name, name)
    if name in _SPACES:
        return _SPACES[name], []
    given = f"names the space {space!r}" if space else "names no space"
    return _SPACES["left-posterior-superior"], [
        f"{given}: its directions are taken as left, posterior, superior"
    ]


def _read(path: Path) -> NDArray[Any]:
    with path.open("rb") as stream:
        header = _header(stream)
        data_file = _data_file(path, header)
        if data_file is None:
            start = stream.tell()
            _check(path, stream, header=header)
            stream.seek(start)
        else:
            with data_file.open("rb") as data:
                _check(path, data, header=header)
        try:
            array: NDArray[Any] = nrrd.read_data(header, stream, str(path))
        except nrrd.NRRDError as error:
            if "product of all the dimensions" not in str(error):
                raise
            raise BadVolume(
                path, "cannot be read: it has not as many voxels as its header says: copy it again"
            ) from error
    return array


def _check(path: Path, stream: BinaryIO, *, header: Mapping[str, Any]) -> None:
    """Read compressed data to their end, where the checksum and the length stand."""
    encoding = header["encoding"]
    if encoding not in ("gzip", "gz", "bzip2", "bz2"):
        return
    for _ in range(header.get("line skip", header.get("lineskip", 0))):
        stream.readline()
    try:
        with gzip.open(stream) if encoding in ("gzip", "gz") else bz2.open(stream) as packed:
            while packed.read(1 << 20):
                pass
    except OSError as error:  # of bzip2
        raise damaged(path, error) from error
