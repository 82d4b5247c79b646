"""Makes a volume in one file, nested as the standard has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from phantom import files, write_series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import EnhancedMRImageStorage


def item(**values: object) -> DicomSequence:
    inside = Dataset()
    for name, value in values.items():
        setattr(inside, name, value)
    return DicomSequence([inside])


def enhanced(folder: Path, *, voxels: np.ndarray, echoes: int = 1, uid: str | None = None) -> Path:
    """One file: what frames share stands once, and each has its place and its scaling."""
    plain = write_series(folder / "plain", voxels=voxels[:1], uid=uid)
    (file,) = files(plain)
    for path in plain.iterdir():
        path.unlink()
    plain.rmdir()
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                 "RescaleSlope", "RescaleIntercept"):  # fmt: skip
        del file[name]
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.5, 0.8], SliceThickness=2)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    for echo in range(echoes):
        for number in range(len(voxels)):
            frame = Dataset()
            frame.PlanePositionSequence = item(ImagePositionPatient=[0, 0, -3.0 * number])
            frame.PixelValueTransformationSequence = item(
                RescaleSlope=number + 1, RescaleIntercept=5
            )
            frame.MREchoSequence = item(EffectiveEchoTime=10.0 * (echo + 1))
            frames.append(frame)
    file.SharedFunctionalGroupsSequence = DicomSequence([shared])
    file.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    file.NumberOfFrames = len(frames)
    file.PixelData = voxels.tobytes() * echoes
    pydicom.dcmwrite(folder / "volume", file, enforce_file_format=True)
    return folder
