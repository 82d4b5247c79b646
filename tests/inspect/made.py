"""Files of data sets that tests make, and facts computed in other words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME, BIRTH = "Doe^Jane^Marker", "19010203"


def noise(shape: tuple[int, int, int] = (12, 14, 16), *, seed: int = 0) -> np.ndarray:
    """(x, y, z) int16 with more values than a label map has."""
    return np.random.default_rng(seed).integers(-50, 900, shape).astype(np.int16)


def nifti(
    path: Path, voxels: np.ndarray, *, spacing: Any = (1.0, 1.0, 1.0), axes: str = "RAS"
) -> Path:
    """Write (x, y, z) voxels, of the patient in RAS, with their axes stored as `axes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
    )
    image.as_reoriented(turn).to_filename(path)
    return path


def series(
    folder: Path, voxels: np.ndarray, *, spacing: Any = (1.0, 1.0, 1.0), **tags: Any
) -> Path:
    """Write (x, y, z) voxels, of the patient in RAS, as a file for each slice."""
    folder.mkdir(parents=True, exist_ok=True)
    uid, study = generate_uid(), generate_uid()
    turned = voxels[::-1, ::-1]  # DICOM counts to the left and to the back
    x, y, z = spacing
    left, back = (voxels.shape[0] - 1) * x, (voxels.shape[1] - 1) * y
    for number in range(voxels.shape[2]):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = CTImageStorage
        file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid()
        file.SeriesInstanceUID, file.StudyInstanceUID = uid, study
        file.PatientName, file.PatientBirthDate, file.PatientID = NAME, BIRTH, "P1"
        file.ImageType, file.Modality = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT"
        file.Columns, file.Rows = voxels.shape[:2]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 1
        file.ImagePositionPatient = [-left, -back, number * z]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.PixelSpacing = [y, x]
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.PixelData = (turned[..., number].T + 1024).astype(np.int16).tobytes()
        file["PixelData"].VR = "OW"
        for name, value in tags.items():
            setattr(file, name, value)
        pydicom.dcmwrite(folder / f"{number:03d}", file, enforce_file_format=True)
    return folder
