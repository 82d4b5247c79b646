"""One file as its header describes it; the voxels come on demand."""

from __future__ import annotations

import gzip
import importlib.util
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume

# Module of this package that reads it, module that must be installed, its package.
_FORMATS = {
    ".nrrd": ("nrrd_file", "nrrd", "pynrrd"),
    ".mha": ("mha_file", "itk", "itk"),
    ".mhd": ("mha_file", "itk", "itk"),
    ".npy": ("npy_file", "numpy", "numpy"),
    ".dcm": ("dicom_file", "pydicom", "pydicom"),
}
_NIFTI = ("nifti_file", "nibabel", "nibabel")


@dataclass(frozen=True)
class Scan:
    """What is judged before reading and what is read: one source for both.

    Attributes:
        shape: voxels along the file's own axes, such as x, y, z and time.
        affine: (4, 4) float64, from voxel indices (along the first three axes) to mm in RAS.
        notes: what had to be assumed, as words that go after "its header".
        read: the voxels, of this shape, in the file's unit, with its scaling applied; integers
            stay integers and doubles stay doubles; masked where nothing was measured. Raises
            BadVolume where the file is damaged.
        beside: other files that hold its voxels, where the header is a file of its own.
    """

    path: Path
    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    notes: tuple[str, ...]
    read: Callable[[], NDArray[Any]]
    beside: tuple[Path, ...] = ()

    def voxels(self) -> NDArray[Any]:
        """Read the voxels.

        Raises:
            BadVolume: damaged.
        """
        try:
            return self.read()
        except (MemoryError, BadVolume):
            raise
        except Exception as error:  # readers raise whatever their libraries raise
            raise unreadable(self.path, error) from error


def open_scan(path: Path) -> Scan:
    """The header of a file.

    Raises:
        BadVolume: not there, not readable, or not one number per voxel.
    """
    reader, module, package = _FORMATS.get(path.suffix.lower(), _NIFTI)
    try:
        if reader != "dicom_file":  # a series has a name, and files of other names
            _check_there(path)
        if importlib.util.find_spec(module) is None:
            raise BadVolume(path, f"cannot be read: install {package} for {path.suffix}")
        scan: Scan = importlib.import_module(f"ssl3d.data.{reader}").open_file(path)
    except (MemoryError, BadVolume):
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    return scan


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise BadVolume(path, "there is no such file")
    path.open("rb").close()


def files_of(path: Path) -> tuple[Path, ...]:
    """The file, and others that hold its voxels: a change of any is one of the scan. Of a DICOM
    series its own files.

    Raises:
        BadVolume: the header that would name them cannot be read.
    """
    if path.suffix.lower() not in (*_FORMATS, ".hdr"):
        return (path,)
    beside = open_scan(path).beside
    return beside if path.suffix.lower() == ".dcm" else (path, *beside)


def unreadable(path: Path, error: Exception) -> BadVolume:
    """The error of a library as one line about `path`."""
    if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
        return damaged(path, error)
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    # ITK says where in its own source the error arose first.
    itk = re.search(r"ITK ERROR: [^:]*: *(.+)", text)
    line = itk.group(1) if itk else text.splitlines()[0]
    return BadVolume(path, f"cannot be read: {line}")


def ends_early(path: Path, *, got: int, needed: int) -> BadVolume:
    """A file that is shorter than its header says."""
    return BadVolume(
        path,
        f"cannot be read: it ends early, {got} of {needed} bytes of its voxels are there: copy "
        "it again",
    )


def damaged(path: Path, error: Exception) -> BadVolume:
    """A compressed file whose checksum or end is not right."""
    return BadVolume(
        path, f"cannot be read: its compressed data are damaged ({error}): copy it again"
    )
