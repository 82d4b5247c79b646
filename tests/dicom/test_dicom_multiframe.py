"""Volumes in one file: as another library converts slices, and as the standard nests them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from multiframe import enhanced
from phantom import files, stored
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, generate_uid

from ssl3d.data.data_error import BadVolume
from ssl3d.data.files import find_sources
from ssl3d.data.read import read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

Series = Callable[..., Path]
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    (source,) = find_sources(DataSpec(volumes=str(folder)))
    volume, affine = read_source(source)
    return volume[0].numpy(), affine.numpy()


def complete(number: int, file: Dataset) -> None:
    """What the converter asks for beside an image."""
    file.FrameOfReferenceUID = "1.2.3.9"
    file.StudyID = file.AccessionNumber = file.Manufacturer = file.PatientSex = ""
    file.StudyDate = file.SeriesDate = file.AcquisitionDate = file.ContentDate = "20200101"
    file.StudyTime = file.SeriesTime = file.AcquisitionTime = file.ContentTime = "101010"
    file.ReferringPhysicianName = ""
    file.SeriesNumber, file.SliceThickness = 1, 2.0
    file.StudyInstanceUID = "1.2.3.8"
    file.KVP = 120
    file.RescaleSlope, file.RescaleIntercept = 1 + number, -1024
    file.RescaleType = "HU"


def test_as_another_library_converts_slices(series: Series, tmp_path: Path) -> None:
    legacy = pytest.importorskip("highdicom").legacy
    folder = series(orientation=OBLIQUE, change=complete)
    volume, affine = read(folder)
    converted = legacy.LegacyConvertedEnhancedCTImage(
        legacy_datasets=files(folder),
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    (tmp_path / "one").mkdir()
    converted.save_as(tmp_path / "one" / "volume.dcm")
    other, other_affine = read(tmp_path / "one")
    assert np.array_equal(volume, other)
    assert np.allclose(affine, other_affine)


def test_shared_and_own_groups(tmp_path: Path) -> None:
    voxels = stored(5)
    volume, affine = read(enhanced(tmp_path / "mr", voxels=voxels))
    scaled = voxels.astype(float) * np.arange(1, 6)[:, None, None] + 5
    # Frames go down and rows to the back: both axes are turned.
    assert np.array_equal(volume, scaled[::-1, ::-1, ::-1])
    assert np.allclose(np.diag(affine), [0.8, 0.5, 3, 1])


def test_two_echoes_in_one_file_are_named(tmp_path: Path) -> None:
    folder = enhanced(tmp_path / "mr", voxels=stored(5), echoes=2)
    (source,) = find_sources(DataSpec(volumes=str(folder)))
    with pytest.raises(BadVolume, match=r"5 of its 10 slices .* which differ in EchoTime"):
        read_source(source)


def test_frames_without_a_place_are_named(series: Series) -> None:
    def film(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.SOPClassUID, file.NumberOfFrames = MRImageStorage, 4
        file.PixelData = file.PixelData * 4
        del file.ImagePositionPatient

    folder = series(voxels=stored(1), change=film)
    (source,) = find_sources(DataSpec(volumes=str(folder)))
    with pytest.raises(BadVolume, match="4 of its 4 slices have no position"):
        read_source(Source(source.files))
