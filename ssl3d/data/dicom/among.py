"""The series among files, where pydicom is installed: it is loaded when there is one to look at."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ssl3d.data.dicom.candidates import may_be_dicom, named_dicom
from ssl3d.data.notes import Notes


def pydicom_there() -> bool:
    """True where DICOM can be read."""
    return importlib.util.find_spec("pydicom") is not None


def siblings(path: Path) -> list[Path]:
    """All files of the series that a path names, by UID or by one of its files.

    Raises:
        BadVolume: there are none.
    """
    if not (may_be_dicom(path) and pydicom_there()):
        return []
    from ssl3d.data.dicom.series import members

    files, _ = members(path)
    return [file for file, _ in files]


def series_among(files: Sequence[Path], *, notes: Notes, matched: bool = False) -> list[Path]:
    """Paths of the DICOM series that these files hold; see `find_series`.

    Where pydicom is not installed there are none, and that is noted of the first.
    """
    files = [file for file in files if may_be_dicom(file)]
    if not files:
        return []
    if not pydicom_there():
        named = [file for file in files if named_dicom(file)]
        if named:
            notes.add(
                named[0], f"and {len(named) - 1} more are not read: install pydicom for DICOM"
            )
        return []
    from ssl3d.data.dicom.series import find_series

    return find_series(files, notes=notes, matched=matched)
