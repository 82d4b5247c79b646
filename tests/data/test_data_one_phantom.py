"""One phantom in every format: the same voxels at the same places."""

from __future__ import annotations

import gzip
import locale
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl3d.data.data_error import BadVolume, DataWarning
from ssl3d.data.files import find_sources
from ssl3d.data.listing import listed
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

# Indices x, y, z of a file whose axes run to the left, to the back and up, oblique in plane.
VOXELS = np.random.default_rng(0).integers(-500, 500, (4, 5, 6)).astype(np.int16)
TURN = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
STEPS, FIRST = np.array([0.8, 0.5, 2.0]), np.array([-10.0, 20.0, 30.0])
LPS = np.eye(4)
LPS[:3, :3], LPS[:3, 3] = TURN * STEPS, FIRST
RAS = np.diag([-1, -1, 1, 1]) @ LPS


def nifti(folder: Path) -> Path:
    nibabel.Nifti1Image(VOXELS, RAS).to_filename(folder / "a.nii.gz")
    return folder / "a.nii.gz"


def pair(folder: Path) -> Path:
    nibabel.Nifti1Pair(VOXELS, RAS).to_filename(folder / "a.hdr")
    return folder / "a.hdr"


def nrrd(folder: Path) -> Path:
    pytest.importorskip("nrrd").write(
        str(folder / "a.nrrd"),
        VOXELS,
        {"space": "LPS", "space directions": LPS[:3, :3].T, "space origin": FIRST},
    )
    return folder / "a.nrrd"


def metaimage(name: str):
    def write(folder: Path) -> Path:
        itk = pytest.importorskip("itk")
        image = itk.image_from_array(np.ascontiguousarray(VOXELS.transpose()))
        image.SetSpacing([*STEPS])
        image.SetOrigin([*FIRST])
        image.SetDirection(itk.matrix_from_array(TURN))
        itk.imwrite(image, str(folder / name))
        return folder / name

    return write


def simple_itk_series(folder: Path) -> Path:
    """Slices as another library writes them."""
    itk = pytest.importorskip("SimpleITK")
    pytest.importorskip("pydicom")
    before = locale.setlocale(locale.LC_ALL)
    writer = itk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(VOXELS.shape[2]):
        image = itk.GetImageFromArray(np.ascontiguousarray(VOXELS[:, :, number].T)[None])
        image.SetSpacing([*STEPS])
        position = FIRST + np.array([0, 0, STEPS[2] * number])
        for tag, value in {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.9.{number + 1}",
            "0020|000d": "1.2.8",
            "0020|000e": "1.2.7",
            "0020|0032": "\\".join(f"{one:g}" for one in position),
            "0020|0037": "\\".join(f"{one:g}" for one in TURN[:, :2].T.ravel()),
        }.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)  # which the writer sets to C, for the whole process
    return folder / "1.2.7.dcm"


WRITERS = {
    "nii.gz": nifti,
    "hdr": pair,
    "nrrd": nrrd,
    "mha": metaimage("a.mha"),
    "mhd": metaimage("a.mhd"),
    "dcm": simple_itk_series,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_from_every_format(tmp_path: Path, kind: str, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "scan").mkdir()
    path = WRITERS[kind](tmp_path / "scan")
    (source,) = find_sources(DataSpec(volumes=str(tmp_path / "scan")))
    assert source.files == (path,)
    volume, affine = read_source(source)
    right = nibabel.as_closest_canonical(nibabel.Nifti1Image(VOXELS, RAS))
    assert np.array_equal(volume[0], right.get_fdata(dtype=np.float32).transpose(2, 1, 0))
    assert np.allclose(affine, right.affine, atol=1e-5)


def test_a_pair_is_both_of_its_files(tmp_path: Path) -> None:
    path = pair(tmp_path)
    image = tmp_path / "a.img"
    (one,) = listed([Source((path,))], groups=[None])
    assert one.files[0].size == path.stat().st_size + image.stat().st_size
    image.write_bytes(image.read_bytes()[:-1])
    with pytest.raises(BadVolume, match="ends early, 239 of 240 bytes"):
        read_source(Source((path,)))
    with gzip.open(tmp_path / "a.img.gz", "wb") as packed:
        packed.write(VOXELS.tobytes(order="F"))
    image.unlink()
    shutil.copy(path, tmp_path / "b.hdr")
    with pytest.raises(BadVolume, match="cannot be read"):
        check_header(tmp_path / "b.hdr")


def test_an_array_says_nothing_of_its_place(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(4, 5, 6))
    np.save(tmp_path / "a.npy", array)
    (source,) = find_sources(DataSpec(volumes=str(tmp_path)))
    volume, affine = read_source(source)
    assert np.array_equal(volume[0], array.astype(np.float32))
    assert np.array_equal(affine, np.eye(4))
    assert check_header(tmp_path / "a.npy") == (
        "gives no geometry: its axes are taken as z, y, x, from below, back and left, of 1 mm",
    )
    np.save(tmp_path / "b.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(BadVolume, match="cannot be read: Array can't be memory-mapped"):
        check_header(tmp_path / "b.npy")


def test_other_files_of_these_endings_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ENVI header")
    with pytest.raises(BadVolume, match=r"a\.hdr"):
        check_header(tmp_path / "a.hdr")
    (tmp_path / "a.dcm").write_text("none")
    with pytest.warns(DataWarning, match="a.dcm cannot be read as DICOM"):
        find_sources(DataSpec(volumes=str(tmp_path)))
