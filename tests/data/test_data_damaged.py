"""Files that were damaged or cut short on their way: never read, always named with a reason."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl3d.data.data_error import BadVolume
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source

ARRAY = np.random.default_rng(0).normal(100, 20, (20, 21, 22)).astype(np.int16)


def read(path: Path) -> np.ndarray:
    return read_source(Source((path,)))[0][0].numpy().transpose(2, 1, 0)


def damaged_copies(good: bytes, path: Path, *, start: int, end: int, step: int):
    """Copies in which one bit is another."""
    for place in range(start, len(good) - end, step):
        copy = bytearray(good)
        copy[place] ^= 1
        path.write_bytes(copy)
        yield place


def test_gzip_checksums_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(ARRAY, np.eye(4)).to_filename(path)
    good = path.read_bytes()
    assert np.array_equal(read(path), ARRAY)
    for _ in damaged_copies(good, path, start=len(good) // 4, end=0, step=499):
        if shutil.which("gzip"):
            assert subprocess.run(["gzip", "-t", path], capture_output=True).returncode
        with pytest.raises(BadVolume, match=r"a\.nii\.gz: cannot be read: .*copy it again"):
            read(path)
    for change in (good[:-1], good[:-8], good[:-8] + bytes(8)):
        path.write_bytes(change)
        with pytest.raises(BadVolume, match="its compressed data are damaged"):
            read(path)
    # The length alone: what follows the voxels counts too.
    path.write_bytes(good[:-4] + bytes(4))
    with pytest.raises(BadVolume, match=r"its compressed data are damaged .*length"):
        read(path)


def test_a_gzip_file_of_several_parts_is_whole(tmp_path: Path) -> None:
    plain = nibabel.Nifti1Image(ARRAY, np.eye(4)).to_bytes()
    parts = gzip.compress(plain[:5000]) + gzip.compress(plain[5000:])
    (tmp_path / "a.nii.gz").write_bytes(parts)
    assert np.array_equal(read(tmp_path / "a.nii.gz"), ARRAY)


def test_a_file_that_was_cut_short_is_known_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ARRAY, np.eye(4)).to_filename(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(BadVolume, match=r"it ends early, 18380 of 18480 bytes of its voxels are"):
        check_header(path)
    path.write_bytes(whole[:300])
    with pytest.raises(BadVolume, match=r"a\.nii: cannot be read: "):
        check_header(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_nrrd(tmp_path: Path, encoding: str) -> None:
    nrrd = pytest.importorskip("nrrd")
    path = tmp_path / "a.nrrd"
    header = {"encoding": encoding, "space": "RAS", "space directions": np.eye(3)}
    nrrd.write(str(path), ARRAY, header | {"space origin": [0, 0, 0]})
    assert np.array_equal(read(path), ARRAY)
    good = path.read_bytes()
    for cut in (1, 9, len(good) // 3):
        path.write_bytes(good[:-cut])
        if encoding == "ascii" and cut == 1:
            continue
        with pytest.raises(BadVolume, match=r"a\.nrrd: cannot be read: it.* copy it again$"):
            read(path)
    if encoding in ("gzip", "bzip2"):
        for _ in damaged_copies(good, path, start=len(good) // 4, end=0, step=999):
            with pytest.raises(BadVolume, match="its compressed data are damaged"):
                read(path)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_with_its_voxels_in_another_file(tmp_path: Path, encoding: str) -> None:
    nrrd = pytest.importorskip("nrrd")
    header = {"encoding": encoding, "space": "RAS", "space directions": np.eye(3)}
    nrrd.write(str(tmp_path / "a.nhdr"), ARRAY, header | {"space origin": [0, 0, 0]})
    path = (tmp_path / "a.nhdr").rename(tmp_path / "a.nrrd")
    assert np.array_equal(read(path), ARRAY)
    (voxels,) = (p for p in tmp_path.iterdir() if p != path)
    voxels.write_bytes(voxels.read_bytes()[:-9])
    with pytest.raises(BadVolume, match=r"a\.nrrd: cannot be read: it.* copy it again$"):
        read(path)
    voxels.unlink()
    with pytest.raises(BadVolume, match=r"a\.nrrd: cannot be read: No such file"):
        read(path)


def write_mha(path: Path, *, compressed: bool) -> bytes:
    itk = pytest.importorskip("itk")
    image = itk.image_from_array(np.ascontiguousarray(ARRAY.T))
    image.SetDirection(np.diag([-1.0, -1.0, 1.0]))  # to the right and front, as RAS
    itk.imwrite(image, str(path), compression=compressed)
    return path.read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
def test_mha(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.mha"
    good = write_mha(path, compressed=compressed)
    assert np.array_equal(read(path), ARRAY)
    for cut in (1, len(good) // 3):
        path.write_bytes(good[:-cut])
        with pytest.raises(BadVolume, match=r"a\.mha: cannot be read: it.* copy it again$"):
            read(path)
    if compressed:  # ITK reads these
        for _ in damaged_copies(good, path, start=len(good) // 4, end=0, step=499):
            with pytest.raises(BadVolume, match="its compressed data are damaged"):
                read(path)
    path.write_bytes(b"NDims = 3\n")
    with pytest.raises(BadVolume, match=r"a\.mha: cannot be read: \S.*") as caught:
        check_header(path)
    assert "itkMetaImageIO" not in str(caught.value)


@pytest.mark.parametrize("offset", [0, 100])
def test_voxels_cannot_begin_in_the_header(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ARRAY, np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[108:112] = np.float32(offset).tobytes()  # vox_offset
    path.write_bytes(bytes(content))
    with pytest.raises(BadVolume, match=r"a\.nii: "):
        check_header(path)


def test_no_time_point_is_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(ARRAY, np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[40:50] = np.array([4, *ARRAY.shape, 0], dtype="<i2").tobytes()  # dim
    path.write_bytes(bytes(content))
    with pytest.raises(BadVolume, match=r"a\.nii: shape .* has 4 dimensions"):
        check_header(path)
