"""Which paths are volumes: files by their ending, DICOM series by their folder or UID."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ssl3d.data.data_error import DataError
from ssl3d.data.dicom.among import series_among, siblings
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.notes import Notes
from ssl3d.data.search import search

ENDINGS = (".nii.gz", ".nii", ".hdr", ".nrrd", ".mha", ".mhd", ".npy", ".dcm")


def stem(path: Path) -> str:
    """File name without the ending of a volume."""
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def is_volume(path: Path) -> bool:
    """True for files that are one volume each, by their ending."""
    return path.name.lower().endswith(ENDINGS) and path.suffix.lower() != ENDING


def one_volume(path: Path, *, notes: Notes) -> Path:
    """A volume that is named: its file, or the DICOM series of a folder, a slice or an UID.

    Raises:
        DataError: there is none, it cannot be looked at, or a folder holds several.
    """
    try:
        return _one_volume(path, notes=notes)
    except OSError as error:
        raise DataError(f"data: {str(path)!r} cannot be read: {error.strerror}") from error


def _one_volume(path: Path, *, notes: Notes) -> Path:
    if path.is_file() and is_volume(path):
        return path
    if path.is_file() or path.is_dir():
        inside = siblings(path) if path.is_file() else search(path, ("**", "*"), notes=notes)
        series = series_among(inside, notes=notes)
        if len(series) == 1:
            return series[0]
        if series:
            raise DataError(
                f"data: {str(path)!r} holds {len(series)} DICOM series, such as "
                f"{series[0].name}: name one, as {str(series[0])!r}"
            )
        raise DataError(
            f"data: {str(path)!r} is no volume: known endings are {', '.join(ENDINGS)}, and DICOM "
            "series are known by their folder"
        )
    # A series: its files have other names, and may all lie in a folder below.
    if path.suffix == ENDING and path.parent.is_dir() and (files := siblings(path)):
        return Path(os.path.commonpath([file.parent for file in files])) / path.name
    raise DataError(f"data: there is no file {str(path)!r} (seen from {Path.cwd()})")


def identity(path: Path) -> Any:
    """What all names of a file have in common, hard links among them; of series see `Names`."""
    try:
        stat = path.stat()
    except OSError:  # said when its header is read
        return os.path.realpath(path)
    return (stat.st_dev, stat.st_ino) if stat.st_ino else os.path.realpath(path)
