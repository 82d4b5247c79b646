"""What one DICOM file says of its images, without the images. Names of persons are never read.

A file holds one frame, or, since multi-frame objects came, a whole volume of them: everything that
follows counts frames. Equations: DICOM PS3.3, C.7.6.2 (image plane) and C.7.6.16 (functional
groups). Positions and directions are those of the standard: x to the left, y to the back, z up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

# What is read of a file. No name, no birth date: what is not read is written nowhere.
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "ImageType", "Modality", "PatientID",
    "StudyInstanceUID", "SequenceName", "PulseSequenceName", "ScanningSequence",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PixelRepresentation", "BitsAllocated", "BitsStored", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PhotometricInterpretation", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "EchoTime", "TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionNumber",
    "TriggerTime", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip

APART = ("EchoTime", "TemporalPositionIdentifier", "DiffusionBValue", "TriggerTime")
"""What tells volumes of one series apart that lie at the same places."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One slice.

    Attributes:
        position: of the centre of its first pixel, in mm; empty where the file does not say.
        orientation: direction of increasing column index, then of increasing row index.
        spacing: distance of rows, then of columns, in mm.
        slope, intercept: from stored values to the file's unit.
        apart: values of what `APART` names; None where the file does not say.
    """

    position: Numbers
    orientation: Numbers
    spacing: Numbers
    slope: float
    intercept: float
    apart: tuple[float | None, ...]


@dataclass(frozen=True)
class Header:
    """One file.

    Attributes:
        series: that it belongs to (SeriesInstanceUID).
        instance: what it is known by (SOPInstanceUID).
        kind: what it holds (SOPClassUID).
        image_type: such as ORIGINAL, PRIMARY, LOCALIZER.
        modality: such as CT or MR.
        patient: PatientID; empty where there is none.
        study: StudyInstanceUID; empty where there is none.
        sequence: of MR, as its scanner calls it or by its kinds; empty where there is none. Not
            SeriesDescription, which is free text and may hold a name: it is not read.
        rows, columns: pixels of a frame.
        samples: values of a pixel.
        bits: that a value takes.
        padding: stored values, from and to, that stand for no measurement; empty for none.
        frames: in the order of the file; empty where it holds no image.
    """

    series: str
    instance: str
    kind: str
    image_type: tuple[str, ...]
    modality: str
    patient: str
    study: str
    sequence: str
    rows: int
    columns: int
    samples: int
    bits: int
    padding: tuple[int, ...]
    frames: tuple[Frame, ...]


def read_header(path: Path) -> Header | None:
    """The header of a file; None where it is not DICOM.

    Raises:
        Exception: whatever pydicom raises for a file that is damaged.
    """
    try:
        file = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except InvalidDicomError:
        return None
    return Header(
        series=str(file.get("SeriesInstanceUID", "")),
        instance=str(file.get("SOPInstanceUID", "")),
        kind=str(file.get("SOPClassUID", "")),
        image_type=tuple(str(word).upper() for word in _several(file, "ImageType")),
        modality=str(file.get("Modality", "")),
        patient=str(file.get("PatientID", "") or ""),
        study=str(file.get("StudyInstanceUID", "") or ""),
        sequence=_sequence(file),
        rows=int(file.get("Rows", 0)),
        columns=int(file.get("Columns", 0)),
        samples=int(file.get("SamplesPerPixel", 1)),
        bits=int(file.get("BitsStored", 0)),
        padding=_padding(file),
        frames=tuple(_frames(file)) if "Rows" in file else (),
    )


def _sequence(file: Dataset) -> str:
    named = file.get("SequenceName") or file.get("PulseSequenceName") or ""
    return str(named) or "+".join(map(str, _several(file, "ScanningSequence")))


def _padding(file: Dataset) -> tuple[int, ...]:
    if file.get("PixelPaddingValue") is None:
        return ()
    value = _as_stored(int(file.PixelPaddingValue), file)
    limit = file.get("PixelPaddingRangeLimit")
    ends = (value, value if limit is None else _as_stored(int(limit), file))
    return (min(ends), max(ends))


def _as_stored(value: int, file: Dataset) -> int:
    """The number that the bits of a value stand for as a pixel: writers mistake its sign."""
    bits = int(file.get("BitsAllocated") or 16)
    value %= 2**bits
    signed = file.get("PixelRepresentation") == 1
    return value - 2**bits if signed and value >= 2 ** (bits - 1) else value


def _frames(file: Dataset) -> Iterator[Frame]:
    each = file.get("PerFrameFunctionalGroupsSequence")
    if each is None:
        # Several frames without a place of their own are a film, or a slice each of no volume.
        places = [[file]] * max(1, int(file.get("NumberOfFrames", 1) or 1))
    else:
        shared = file.get("SharedFunctionalGroupsSequence") or [Dataset()]
        places = [[*_groups(frame), *_groups(shared[0]), file] for frame in each]
    for place in places:
        yield Frame(
            position=_numbers(place, "ImagePositionPatient"),
            orientation=_numbers(place, "ImageOrientationPatient"),
            spacing=_numbers(place, "PixelSpacing"),
            slope=(_numbers(place, "RescaleSlope") or (1.0,))[0],
            intercept=(_numbers(place, "RescaleIntercept") or (0.0,))[0],
            apart=tuple((_numbers(place, name) or (None,))[0] for name in APART),
        )


# The same in multi-frame objects, where the names differ.
_OTHER_NAMES = {
    "EchoTime": "EffectiveEchoTime",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
}


def _groups(frame: Dataset) -> list[Dataset]:
    """The functional groups of a frame, each a sequence of one item."""
    return [element.value[0] for element in frame if element.VR == "SQ" and len(element.value) == 1]


def _numbers(places: list[Dataset], name: str) -> Numbers:
    """The values of the first that has them."""
    for key in (name, _OTHER_NAMES.get(name, name)):
        for place in places:
            found = _several(place, key)
            if found:
                return tuple(float(value) for value in found)
    return ()


def _several(place: Dataset, name: str) -> list[Any]:
    value = place.get(name)
    if value is None or value == "":
        return []
    return list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else [value]
