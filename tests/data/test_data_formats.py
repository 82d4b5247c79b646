"""Geometry of NRRD and MetaImage files."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl3d.data.data_error import BadVolume
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source

ARRAY = np.random.default_rng(0).normal(size=(5, 6, 7)).astype("<f4")

# Every name of a space in section 5 of the format's definition that says where left is.
SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "RAS": (1, 1, 1),
    "LAS": (-1, 1, 1),
    "LPS": (-1, -1, 1),
}
OTHERS = ("scanner-xyz", "3D-right-handed", "3D-left-handed")


def nrrd_file(path: Path, *lines: str, sizes: str = "5 6 7", array: np.ndarray = ARRAY) -> Path:
    dimension = len(sizes.split())
    head = ["NRRD0004", "type: float", f"dimension: {dimension}", f"sizes: {sizes}"]
    text = "\n".join([*head, *lines, "endian: little", "encoding: raw", "", ""])
    path.write_bytes(text.encode() + array.tobytes(order="F"))
    pytest.importorskip("nrrd")
    return path


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    volume, affine = read_source(Source((path,)))
    return volume[0].numpy(), affine.numpy()


def check(path: Path, affine: np.ndarray, array: np.ndarray = ARRAY) -> None:
    right = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    volume, got = read(path)
    assert np.array_equal(volume, right.get_fdata(dtype=np.float32).transpose(2, 1, 0))
    assert np.allclose(got, right.affine)


DIRECTIONS = "space directions: (0,0,3) (1,0,0) (0,2,0)"
LINEAR = np.array([[0, 1.0, 0], [0, 0, 2], [3, 0, 0]])


@pytest.mark.parametrize("space", [*SPACES, "lps", "Left-Posterior-Superior", "ras"])
def test_every_spelling_of_a_space(tmp_path: Path, space: str) -> None:
    path = nrrd_file(tmp_path / "a.nrrd", f"space: {space}", DIRECTIONS, "space origin: (10,20,30)")
    signs = {name.lower(): value for name, value in SPACES.items()}[space.lower()]
    affine = np.eye(4)
    affine[:3] = np.diag(signs) @ np.column_stack([LINEAR, [10, 20, 30]])
    check(path, affine)
    assert check_header(path) == ()


@pytest.mark.parametrize("space", [*OTHERS, None])
def test_a_space_without_anatomy_is_taken_as_lps_and_said(tmp_path: Path, space) -> None:
    line = f"space: {space}" if space else "space dimension: 3"
    path = nrrd_file(tmp_path / "a.nrrd", line, DIRECTIONS, "space origin: (1,2,3)")
    affine = np.eye(4)
    affine[:3] = np.diag([-1, -1, 1]) @ np.column_stack([LINEAR, [1, 2, 3]])
    check(path, affine)
    (note,) = check_header(path)
    given = f"names the space '{space}'" if space else "names no space"
    assert note == f"{given}: its directions are taken as left, posterior, superior"


@pytest.mark.parametrize("space", ["left-posterior-superior-time", "LPST"])
def test_an_axis_of_time_with_one_point(tmp_path: Path, space: str) -> None:
    lines = (f"space: {space}", "space directions: (0,0,0,1) (1,0,0,0) (0,2,0,0) (0,0,3,0)")
    path = nrrd_file(tmp_path / "a.nrrd", *lines, "space origin: (1,2,3,0)", sizes="1 5 6 7")
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = -1, -2, 3
    check(path, affine)


def test_what_is_missing_is_assumed_and_said(tmp_path: Path) -> None:
    path = nrrd_file(tmp_path / "a.nrrd", "space: RAS", DIRECTIONS)
    affine = np.eye(4)
    affine[:3, :3] = LINEAR
    check(path, affine)
    assert check_header(path) == (
        "gives no space origin: the first voxel is taken to lie at 0, 0, 0",
    )
    path = nrrd_file(tmp_path / "b.nrrd", "space: RAS", "spacings: 1 2 3")
    check(path, np.diag([1.0, 2.0, 3.0, 1.0]))
    assert "gives no space directions: its axes are taken as they are stored" in check_header(path)
    with pytest.raises(BadVolume, match="gives neither space directions nor spacings"):
        check_header(nrrd_file(tmp_path / "c.nrrd", "space: RAS"))


def test_channels_and_units(tmp_path: Path) -> None:
    lines = ("space: RAS", "space directions: none (1,0,0) (0,1,0) (0,0,1)")
    origin = "space origin: (0,0,0)"
    path = nrrd_file(tmp_path / "a.nrrd", *lines, origin, sizes="1 5 6 7")
    check(path, np.eye(4))
    two = np.stack([ARRAY, ARRAY])
    path = nrrd_file(tmp_path / "b.nrrd", *lines, origin, sizes="2 5 6 7", array=two)
    with pytest.raises(BadVolume, match=r"shape \(5, 6, 7, 2\) has 4 dimensions, 3 are needed"):
        check_header(path)
    metres = 'space units: "m" "m" "m"'
    path = nrrd_file(tmp_path / "c.nrrd", "space: RAS", DIRECTIONS, origin, metres)
    assert np.allclose(np.diag(read(path)[1]), [1000, 2000, 3000, 1])
    assert check_header(path) == ("counts in m: one is taken as 1000 mm",)
    lines = ("space: RAS", "space directions: (1,0,0) (0,1,0)")
    path = nrrd_file(tmp_path / "d.nrrd", *lines, sizes="5 6", array=ARRAY[..., 0])
    with pytest.raises(BadVolume, match="2 of its axes have space directions, 3 are needed"):
        check_header(path)


@pytest.mark.parametrize("turned", [False, True])
def test_mha_lies_where_itk_says(tmp_path: Path, turned: bool) -> None:
    itk = pytest.importorskip("itk")
    image = itk.image_from_array(np.ascontiguousarray(ARRAY.T))
    direction = np.array([[0, 1.0, 0], [0, 0, -1.0], [1.0, 0, 0]]) if turned else np.eye(3)
    image.SetDirection(direction)
    image.SetSpacing([1.5, 2.5, 3.5])
    image.SetOrigin([4.0, 5.0, 6.0])
    path = tmp_path / "a.mha"
    itk.imwrite(image, str(path))
    affine = np.eye(4)
    for index in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        place = np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1]
        affine[:3, 3 if not any(index) else index.index(1)] = place
    affine[:3, :3] -= affine[:3, 3:]
    check(path, affine)


def test_mha_with_several_values_a_voxel_or_two_axes(tmp_path: Path) -> None:
    itk = pytest.importorskip("itk")
    vectors = itk.image_from_array(np.zeros((5, 6, 7, 3), np.uint8), is_vector=True)
    itk.imwrite(vectors, str(tmp_path / "a.mha"))
    with pytest.raises(BadVolume, match="its voxels are colours or vectors, not one value"):
        check_header(tmp_path / "a.mha")
    itk.imwrite(itk.image_from_array(ARRAY[0].copy()), str(tmp_path / "b.mha"))
    with pytest.raises(BadVolume, match="is a 2D image"):
        check_header(tmp_path / "b.mha")


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        *[("um", 0.001), ("\u00b5m", 0.001), ("\u03bcm", 0.001), ("microns", 0.001)],
        *[("MM", 1.0), ("millimeter", 1.0), ("meter", 1000.0), ("cm", 10.0)],
    ],
)
def test_every_spelling_of_a_unit(tmp_path: Path, unit: str, scale: float) -> None:
    lines = ("space: RAS", "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)")
    path = nrrd_file(tmp_path / "a.nrrd", *lines, "space units:" + f' "{unit}"' * 3)
    _, affine = read(path)
    assert np.allclose(np.diag(affine)[:3], scale)
    said = () if scale == 1 else (f"counts in {unit}: one is taken as {scale:g} mm",)
    assert check_header(path) == said


def test_lines_before_packed_voxels_are_skipped(tmp_path: Path) -> None:
    lines = ("space: RAS", "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)")
    path = nrrd_file(tmp_path / "a.nrrd", *lines, "line skip: 1")
    head, raw = path.read_bytes()[: -ARRAY.nbytes], ARRAY.tobytes(order="F")
    head = head.replace(b"encoding: raw", b"encoding: gzip")
    path.write_bytes(head + b"one line\n" + gzip.compress(raw))
    volume, _ = read(path)
    assert np.array_equal(volume.transpose(2, 1, 0), ARRAY)


def test_slices_in_files_of_their_own_are_refused(tmp_path: Path) -> None:
    lines = ("space: RAS", "space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)")
    path = nrrd_file(tmp_path / "a.nrrd", *lines, "data file: slice%02d.raw 0 6 1")
    with pytest.raises(BadVolume, match="a file for each slice: write it as one file"):
        check_header(path)
