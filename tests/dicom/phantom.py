"""Makes DICOM files by the standard's tables, and reads places by its equations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

Change = Callable[[int, Dataset], None]

NAME, BIRTH = "Doe^Jane^Marker", "19010203"
STRAIGHT = (1.0, 0, 0, 0, 1.0, 0)


def stored(slices: int = 6, rows: int = 5, columns: int = 4, *, seed: int = 0) -> np.ndarray:
    """Voxels (slices, rows, columns), as they are stored."""
    return np.random.default_rng(seed).integers(0, 2000, (slices, rows, columns)).astype(np.int16)


def write_series(
    folder: Path,
    *,
    voxels: np.ndarray | None = None,
    first: Sequence[float] = (-10.0, 20.0, 30.0),
    orientation: Sequence[float] = STRAIGHT,
    spacing: tuple[float, float] = (0.5, 0.8),
    heights: Sequence[float] | None = None,
    line: Sequence[float] | None = None,
    uid: str | None = None,
    patient: str = "P1",
    change: Change | None = None,
    syntax: str = ExplicitVRLittleEndian,
    called: str = "IM{:04d}.dcm",
) -> Path:
    """A file for each slice.

    Args:
        folder: to write into.
        voxels: (slices, rows, columns), as they are stored.
        first: position of the first slice, in mm.
        orientation: direction of increasing column, then of increasing row.
        spacing: of rows, then of columns, in mm.
        heights: of the slices along `line`, in mm; none: 2 mm apart.
        line: that the slices lie on; none: their normal.
        uid: of the series.
        patient: PatientID.
        change: is given number and content of each file before it is written.
        syntax: transfer syntax, an uncompressed one.
        called: names of files, by their number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voxels = stored() if voxels is None else voxels
    uid = uid or generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    line_ = normal if line is None else np.asarray(line, dtype=float)
    at = np.arange(len(voxels)) * 2.0 if heights is None else np.asarray(heights)
    for number, (one, height) in enumerate(zip(voxels, at, strict=True)):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = syntax
        file.SOPClassUID = CTImageStorage
        file.SOPInstanceUID = generate_uid()
        file.SeriesInstanceUID, file.StudyInstanceUID = uid, generate_uid()
        file.PatientName, file.PatientBirthDate, file.PatientID = NAME, BIRTH, patient
        file.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        file.Modality = "CT"
        file.Rows, file.Columns = one.shape
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, int(one.dtype.kind == "i")
        file.ImagePositionPatient = [*np.round(np.asarray(first) + line_ * height, 6)]
        file.ImageOrientationPatient = [*np.round(orientation, 8)]
        file.PixelSpacing = [*spacing]
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.InstanceNumber = len(voxels) - number
        file.PixelData = one.tobytes()
        file["PixelData"].VR = "OW"
        if change is not None:
            change(number, file)
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
        # Names in another order than places.
        path = folder / called.format((number * 7) % 1000)
        pydicom.dcmwrite(path, file, enforce_file_format=True)
    return folder


def place(file: Dataset, *, row: int, column: int) -> np.ndarray:
    """Where a pixel's centre lies in the patient, in RAS: equation C.7.6.2.1-1 of PS3.3."""
    position = np.array(file.ImagePositionPatient, dtype=float)
    x, y = np.array(file.ImageOrientationPatient, dtype=float).reshape(2, 3)
    rows, columns = map(float, file.PixelSpacing)
    return (position + x * columns * column + y * rows * row) * [-1, -1, 1]


def files(folder: Path) -> list[Any]:
    """All of its files, read by pydicom."""
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
