"""Series: which of the DICOM files that were found make a volume, and why the others do not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydicom.uid import UID

from ssl3d.data.data_error import BadVolume, shown
from ssl3d.data.dicom.candidates import ENDING, may_be_dicom
from ssl3d.data.dicom.folder import Found, read_folder
from ssl3d.data.dicom.header import Header
from ssl3d.data.notes import Notes
from ssl3d.data.search import search

# What scanners make volumes of, by the end of its UID: CT, MR, PET, NM, 3D X-ray; in one file for
# each slice, in one for all of them, and as converted from the one to the other.
_ROOT = "1.2.840.10008.5.1.4.1.1."
_ENDS = "2 2.1 2.2 4 4.1 4.4 20 128 128.1 130 13.1.1 13.1.2"
_SCANS = frozenset(_ROOT + end for end in _ENDS.split())
_SECONDARY = _ROOT + "7"
# Words of ImageType for what was computed from another series of the study.
_DERIVED = frozenset(
    ("MIP", "MINIP", "MPR", "CPR", "VRT", "PROJECTION IMAGE", "CSA RESAMPLED", "REFORMATTED")
)


def find_series(files: Iterable[Path], *, notes: Notes, matched: bool = False) -> list[Path]:
    """A path for each series among some files: `FOLDER/UID.dcm`, with the folder of all its files.

    No file need have this name: `open_file` knows the series by it. What is left out is said.

    Args:
        files: DICOM files, and others, which are passed over.
        notes: gets what is left out, and why.
        matched: True where a glob gave the files, which may match a part of a series: that is said.
    """
    found: dict[str, list[Found]] = {}
    by_folder: dict[Path, list[str]] = {}
    for file in files:
        by_folder.setdefault(file.parent, []).append(file.name)
    for folder, names in by_folder.items():
        for one in read_folder(folder, names):
            if one.header is None:
                notes.add(one.path, f"cannot be read as DICOM: {one.problem}")
            elif not one.header.series:
                notes.add(one.path, "is left out: it names no series")
            else:
                found.setdefault(one.header.series, []).append(one)
    series = []
    for uid, own in found.items():
        path = Path(os.path.commonpath([one.path.parent for one in own])) / f"{uid}{ENDING}"
        headers = [one.header for one in own if one.header is not None]
        reason = left_out(headers)
        if reason:
            notes.add(path, f"is left out: {reason}")
            continue
        series.append(path)
        if matched and slices_of(path) - {header.instance for header in headers}:
            notes.add(path, "has slices that the glob does not match: it is read as a whole")
    return sorted(series)


def left_out(headers: Sequence[Header]) -> str:
    """Why a series is no volume to learn from; empty where it may be one."""
    scans = [header for header in headers if header.kind in _SCANS]
    if not scans:
        kind = headers[0].kind
        if kind == _SECONDARY or kind.startswith(_SECONDARY + "."):
            return "it is a secondary capture"
        return f"it holds no volume of a scanner but {UID(kind).name or 'objects of no known kind'}"
    if all("LOCALIZER" in header.image_type for header in scans):
        return "it is a localiser"
    derived = sorted({word for header in scans for word in _DERIVED & set(header.image_type)})
    if derived:
        return f"it is derived from another series ({', '.join(derived)})"
    frames = {header.instance: len(header.frames) for header in scans}
    if sum(frames.values()) < 2:
        return "it is a single slice" if any(frames.values()) else "it holds no images"
    return ""


def members(path: Path) -> tuple[list[tuple[Path, Header]], list[str]]:
    """(the files of a series, once each and sorted; what is to be said of others).

    Args:
        path: as `find_series` gives it, or one of the files of the series.

    Raises:
        BadVolume: there are none.
    """
    uid = path.name.removesuffix(ENDING)
    if path.is_file():
        own = [one for one in read_folder(path.parent, [path.name]) if one.header is not None]
        if not own or own[0].header is None:
            raise BadVolume(path, "cannot be read: it is no DICOM file, or a damaged one")
        uid = own[0].header.series
    notes: list[str] = []
    found: dict[str, tuple[Path, Header]] = {}
    for folder in _folders(path.parent):
        for one in read_folder(folder):
            header = one.header
            if header is None or header.series != uid or header.kind not in _SCANS:
                continue
            before = found.setdefault(header.instance, (one.path, header))
            if before[0] != one.path:
                notes.append(
                    f"holds copies of its slices, such as {shown(one.path)}: each counts once"
                )
    if not found:
        raise BadVolume(
            path, "there is no such file, and no DICOM series of this name in its folder"
        )
    return sorted(found.values(), key=lambda pair: pair[0]), notes[:1]


def slices_of(path: Path) -> frozenset[str]:
    """SOPInstanceUID of each file of a series.

    Raises:
        BadVolume: the series is gone.
    """
    files, _ = members(path)
    return frozenset(header.instance for _, header in files)


def patient_of(path: Path) -> str:
    """PatientID of a series; empty where there is none, or where the file is no series.

    Raises:
        BadVolume: the series is gone.
    """
    if path.suffix != ENDING:
        return ""
    files, _ = members(path)
    return files[0][1].patient


def modality_of(path: Path) -> str:
    """Modality of a series, such as CT or MR; empty where it says none.

    Raises:
        BadVolume: the series is gone.
    """
    files, _ = members(path)
    return files[0][1].modality


def _folders(folder: Path) -> list[Path]:
    """The folder, and all below it that hold files."""
    notes = Notes()
    below = search(folder, ("**", "*"), notes=notes) if any(_below(folder)) else []
    return sorted({folder, *(file.parent for file in below if may_be_dicom(file))})


def _below(folder: Path) -> Iterable[bool]:
    try:
        with os.scandir(folder) as entries:
            return [entry.is_dir() for entry in entries]
    except OSError as error:
        raise BadVolume(folder, f"cannot be searched: {error.strerror}") from error
