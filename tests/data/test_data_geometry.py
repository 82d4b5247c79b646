"""Where voxels lie, compared with computations that were written differently."""

from __future__ import annotations

import itertools
import struct
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from run_batches import found
from scipy.spatial.transform import Rotation

from ssl3d.data.data_error import BadVolume, DataWarning
from ssl3d.data.grid import oriented
from ssl3d.data.on_grid import prepare_on_grid
from ssl3d.data.read import check_header, check_source, read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

SHAPE = (5, 7, 9)


def read(*paths: Path, spacing=None) -> tuple[np.ndarray, np.ndarray]:
    volume, affine = read_source(Source(paths), spacing=spacing)
    return volume.numpy(), affine.numpy()


def voxels(shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, size=shape).astype(np.float32)


def patched(path: Path, changes: dict[int, tuple[str, tuple]]) -> Path:
    """Bytes of a NIfTI header overwritten: {offset: (struct format, values)}."""
    data = bytearray(path.read_bytes())
    for offset, (form, values) in changes.items():
        struct.pack_into("<" + form, data, offset, *values)
    path.write_bytes(data)
    return path


def nifti(path: Path, array: np.ndarray | None = None, affine=None, **changes) -> Path:
    """A file whose header fields are set byte by byte, so that no library mends them."""
    offsets = {
        "pixdim": (76, "8f"),
        "xyzt_units": (123, "B"),
        "codes": (252, "2h"),
        "quatern": (256, "6f"),
        "srow": (280, "12f"),
    }
    image = nibabel.Nifti1Image(voxels() if array is None else array, affine)
    image.to_filename(path)
    return patched(
        path,
        {offsets[k][0]: (offsets[k][1], tuple(np.ravel(v).tolist())) for k, v in changes.items()},
    )


def by_the_codes(header: dict) -> np.ndarray:
    """nifti1.h, methods 3, 2 and 1, written out term by term."""
    qform, sform = header["codes"]
    if sform > 0:
        return np.vstack([np.float32(header["srow"]).reshape(3, 4), [0, 0, 0, 1]])
    q, *d = np.float64(np.float32(header["pixdim"][:4]))
    if qform <= 0:
        return np.diag([*d, 1.0])
    b, c, e, x, y, z = np.float64(np.float32(header["quatern"]))
    a = np.sqrt(max(0.0, 1 - b * b - c * c - e * e))
    rotation = [
        [a * a + b * b - c * c - e * e, 2 * b * c - 2 * a * e, 2 * b * e + 2 * a * c],
        [2 * b * c + 2 * a * e, a * a + c * c - b * b - e * e, 2 * c * e - 2 * a * b],
        [2 * b * e - 2 * a * c, 2 * c * e + 2 * a * b, a * a + e * e - c * c - b * b],
    ]
    scaled = np.array(rotation) * [d[0], d[1], d[2] * (-1 if q < 0 else 1)]
    return np.vstack([np.column_stack([scaled, [x, y, z]]), [0, 0, 0, 1]])


def check_against(path: Path, affine: np.ndarray, array: np.ndarray) -> None:
    """What is read is the file's array turned to the axes nearest to RAS, voxel by voxel."""
    volume, got = read(path)
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(array, affine))
    assert np.array_equal(volume[0], turned.get_fdata(dtype=np.float32).transpose(2, 1, 0))
    assert np.allclose(got, turned.affine, atol=1e-4)
    # The place of each corner, by the file's own indices.
    for corner in itertools.product(*((0, size - 1) for size in array.shape)):
        x, y, z = np.round(np.linalg.solve(got, affine @ [*corner, 1])[:3]).astype(int)
        assert volume[0, z, y, x] == array[corner]


@settings(max_examples=40, deadline=None)
@given(
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    seed=st.integers(0, 1000),
    qfac=st.sampled_from([-1.0, 0.0, 1.0]),
    step=st.floats(0.2, 6),
)
def test_the_codes_say_which_geometry_counts(
    tmp_path_factory: pytest.TempPathFactory, codes, seed: int, qfac: float, step: float
) -> None:
    """sform, qform and pixdim all differ, as files from practice have them."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    srow = np.column_stack([rotation * rng.uniform(0.5, 3, size=3), rng.normal(0, 50, size=3)])
    quaternion = rng.normal(size=4)
    quaternion /= np.linalg.norm(quaternion) * np.sign(quaternion[0])
    header = {
        "codes": codes,
        "pixdim": [qfac, step, 1.5, 2.5, 1, 1, 1, 1],
        "quatern": [*quaternion[1:], *rng.normal(0, 50, size=3)],
        "srow": srow,
    }
    path = nifti(tmp_path_factory.mktemp("g") / "a.nii", affine=np.eye(4), **header)
    check_against(path, by_the_codes(header), voxels())
    assumed = [note for note in check_header(path) if "gives no orientation" in note]
    assert len(assumed) == (codes[0] <= 0 and codes[1] <= 0)


def test_an_unknown_qform_does_not_replace_the_sform(tmp_path: Path) -> None:
    """pixdim was rounded to two digits, and the quaternion never filled in."""
    affine = np.diag([-0.70001, -0.70001, 0.7, 1.0])
    affine[:3, 3] = 40, 50, -20
    pixdim = [1, 0.7, 0.7, 0.7, 1, 1, 1, 1]
    path = nifti(tmp_path / "a.nii", affine=affine, pixdim=pixdim, codes=(0, 1), quatern=[0] * 6)
    check_against(path, affine, voxels())


@pytest.mark.parametrize("pixdim", [0.0, 1.0, -2.0])
@pytest.mark.parametrize("times", [0, 1])
def test_pixdim_changes_nothing_beside_an_sform(tmp_path: Path, pixdim: float, times: int) -> None:
    array = voxels()
    stored = array[..., None] if times else array
    affine = np.array([[0, 0, -3.0, 9], [2.0, 0, 0, -7], [0, -1.5, 0, 4], [0, 0, 0, 1]])
    changes = {"pixdim": [0, *[pixdim] * 3, 0, 0, 0, 0], "codes": (0, 2)}
    check_against(nifti(tmp_path / "a.nii", stored, affine, **changes), affine, array)


def test_no_voxel_size_is_no_geometry(tmp_path: Path) -> None:
    """nibabel takes 0 for 1: here the file is named."""
    path = nifti(
        tmp_path / "a.nii", affine=np.eye(4), codes=(0, 0), pixdim=[1, 0, 1, 1, 0, 0, 0, 0]
    )
    for look in (check_header, read):
        with pytest.raises(BadVolume, match="its header gives no usable voxel size and orient"):
            look(path)


def test_units_become_mm(tmp_path: Path) -> None:
    for name, code, scale in (
        ("mm", 2, 1),
        ("metre", 1, 1000),
        ("micron", 3, 0.001),
        ("none", 0, 1),
    ):
        affine = np.diag([2.0, 3.0, 4.0, 1.0])
        affine[:3, 3] = 5
        path = nifti(tmp_path / "a.nii", affine=affine, xyzt_units=code | 8)  # and seconds
        expected = affine * np.array([scale, scale, scale, 1])[:, None]
        assert np.allclose(read(path)[1], expected)
        notes = check_header(path)
        assert notes == ((f"counts in {name}: one is taken as {scale:g} mm",) if scale != 1 else ())
    path = nifti(tmp_path / "a.nii", affine=np.eye(4), xyzt_units=5)
    assert check_header(path) == ("counts in the unknown unit 5: one is taken as 1 mm",)


def test_scaled_integers_are_computed_in_double_precision(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-32000, 32000, size=SHAPE).astype(np.int16)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(1 / 3, -1e4)
    image.to_filename(tmp_path / "a.nii.gz")
    slope, inter = np.float32(1 / 3), np.float32(-1e4)
    expected = (stored.astype(np.float64) * np.float64(slope) + inter).astype(np.float32)
    assert np.array_equal(read(tmp_path / "a.nii.gz")[0][0], expected.transpose(2, 1, 0))
    big = stored.astype(np.int64) * 1000 + 1
    nibabel.Nifti1Image(big, np.eye(4), dtype=np.int64).to_filename(tmp_path / "b.nii")
    assert np.array_equal(read(tmp_path / "b.nii")[0][0], big.astype(np.float32).transpose(2, 1, 0))


@pytest.mark.parametrize("form", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_both_versions_and_byte_orders(tmp_path: Path, form, order: str, ending: str) -> None:
    header = form.header_class(endianness=order)
    header.set_data_dtype(np.float32)
    affine = np.diag([-1.0, 2.0, 3.0, 1.0])
    form(voxels(), affine, header).to_filename(tmp_path / f"a.{ending}")
    check_against(tmp_path / f"a.{ending}", affine, voxels())


def test_other_files_with_this_ending_are_named(tmp_path: Path) -> None:
    axes = nibabel.cifti2.ScalarAxis(["a"]), nibabel.cifti2.SeriesAxis(0, 1, 4)
    nibabel.Cifti2Image(np.zeros((1, 4), np.float32), axes).to_filename(tmp_path / "a.dscalar.nii")
    with pytest.raises(BadVolume, match=r"a\.dscalar\.nii: a Cifti2Image is no volume"):
        check_header(tmp_path / "a.dscalar.nii")


def trilinear(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values of `array` at `places` (n, 3), NaN more than half a voxel outside; by definition."""
    top = np.array(array.shape) - 1
    inside = ((places >= -0.5) & (places <= top + 0.5)).all(axis=1)
    places = np.clip(places, 0, top)
    low = np.minimum(np.floor(places).astype(int), top - 1)
    part, result = places - low, np.zeros(len(places))
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, part, 1 - part).prod(axis=1)
        result += weight * array[tuple((low + corner).T)]
    return np.where(inside, result, np.nan)


def expected_at(volume: np.ndarray, affine: np.ndarray, array, source: np.ndarray) -> np.ndarray:
    """What the (z, y, x) grid of `volume` must hold of `array` (file order)."""
    index = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    world = index.reshape(-1, 3)[:, ::-1] @ affine[:3, :3].T + affine[:3, 3]
    places = (world - source[:3, 3]) @ np.linalg.inv(source[:3, :3]).T
    return trilinear(array.astype(np.float64), places).reshape(volume.shape)


def same(got: np.ndarray, right: np.ndarray) -> bool:
    return np.array_equal(np.isnan(got), np.isnan(right)) and np.allclose(
        got, right, atol=1e-2, equal_nan=True
    )


@pytest.mark.parametrize("spacing", [None, (2.5, 0.5, 0.5), (5.0, 1.3, 0.9)])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("tilt", [-20, 20])
def test_a_sheared_volume_lies_where_it_was_scanned(
    tmp_path: Path, spacing, axis: int, tilt: int
) -> None:
    """CT with a tilted gantry: its slices are moved against each other."""
    affine = np.diag([0.7, 0.5, 5.0, 1.0])
    affine[axis, 2] = -5 * np.tan(np.radians(tilt))
    affine[:3, 3] = 3, -2, 11
    array = voxels((20, 24, 6))
    path = tmp_path / "tilt.nii"
    nibabel.Nifti1Image(array, affine).to_filename(path)
    volume, got = read(path, spacing=spacing)
    linear = got[:3, :3]
    assert np.allclose(linear.T @ linear, np.diag(np.diag(linear) ** 2), atol=1e-6)
    # Without a spacing the slices stay where they are, at their distance along the normal.
    assert np.allclose(np.diag(linear), (spacing or (5.0, 0.5, 0.7))[::-1])
    right = expected_at(volume[0], got, array, affine)
    assert 0.05 < np.isnan(right).mean() < 0.6
    assert same(volume[0], right)
    # Nothing of the scan is lost: each of its voxels has one of these within half a step.
    corners = np.array([[*c, 1] for c in itertools.product(*((0, n - 1) for n in array.shape))])
    index = np.linalg.solve(got, affine @ corners.T)[:3]
    assert (index >= -0.51).all()
    assert (index.max(axis=1) <= np.array(volume.shape[:0:-1]) - 0.49).all()
    said = any("sheared" in note for note in check_header(path, spacing=spacing))
    assert said == (spacing is None)


def test_a_shear_of_rounding_is_none(tmp_path: Path) -> None:
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[0, 2] = 1e-4
    nibabel.Nifti1Image(voxels(), affine).to_filename(tmp_path / "a.nii")
    assert check_header(tmp_path / "a.nii") == ()
    assert np.array_equal(read(tmp_path / "a.nii")[0][0], voxels().transpose(2, 1, 0))


@pytest.mark.parametrize("spacing", [(2.0, 3.0, 5.0), (0.7, 0.7, 0.7)])
@pytest.mark.parametrize("angle", [0, 17])
def test_what_lies_outside_of_the_scan_is_never_valid(tmp_path: Path, spacing, angle: int) -> None:
    """A coarse grid may end beyond the scan; an oblique one is resampled along its own axes."""
    t = np.radians(angle)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]
    array = voxels((13, 14, 12))
    nibabel.Nifti1Image(array, affine).to_filename(tmp_path / "a.nii")
    affine = nibabel.load(tmp_path / "a.nii").affine
    volume, got = read(tmp_path / "a.nii", spacing=spacing)
    assert same(volume[0], expected_at(volume[0], got, array, affine))


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    steps=st.tuples(*[st.sampled_from([0.4, 0.86, 1.0, 2.4, 6.5])] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 1.9, 3.0])] * 3),
    shape=st.tuples(*[st.integers(1, 24)] * 3),
)
def test_a_grid_of_other_steps_holds_all_of_a_tilted_scan(angles, steps, spacing, shape) -> None:
    """Headers are in single precision, so that axes are at right angles but for their rounding."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(steps)
    affine[:3, 3] = 12.7, -88.1, 31.9
    own, _ = oriented(shape, affine.astype(np.float32).astype(np.float64))
    found = own.resampled(spacing)
    at = np.linalg.solve(found.affine, own.affine @ own.corners)[:3]
    assert np.abs(at.min(axis=1)).max() < 1e-3, "both begin with the same voxel"
    # Half a step beyond the last voxel is as far as values are taken from it.
    assert (at.max(axis=1) <= np.array(found.shape) - 0.5 + 1e-3).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.5, 1.5)])
def test_labels_of_outer_slices_of_a_tilted_scan_come_back(tmp_path: Path, spacing) -> None:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (8.6, 1.0, -2.0), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([0.86, 0.86, 2.4])
    affine[:3, 3] = -90.1, -120.3, 17.7
    array = voxels((24, 26, 20))
    nibabel.Nifti1Image(array, affine).to_filename(tmp_path / "a.nii")
    spec = DataSpec(volumes="-", spacing=spacing)
    prepared = prepare_on_grid(Source((tmp_path / "a.nii",)), spec=spec)
    back, _ = prepared.restore(torch.ones(prepared.valid.shape), mode="nearest", fill=0.0)
    assert (back == 1).all(), "each voxel of the file, those of its outer slices among them"


@pytest.mark.parametrize("spacing", [None, (2.0, 1.0, 1.0)])
def test_channels_a_part_of_a_voxel_apart_are_resampled_onto_the_first(
    tmp_path: Path, spacing
) -> None:
    moved = np.eye(4)
    moved[:3, 3] = 0.3, -0.6, 0.1
    first, second = voxels(), voxels()[::-1].copy()
    nibabel.Nifti1Image(first, np.eye(4)).to_filename(tmp_path / "t1.nii")
    nibabel.Nifti1Image(second, moved).to_filename(tmp_path / "t2.nii")
    pair = Source((tmp_path / "t1.nii", tmp_path / "t2.nii"))
    volume, affine = read(*pair.files, spacing=spacing)
    assert same(volume[0], expected_at(volume[0], affine, first, np.eye(4)))
    assert same(volume[1], expected_at(volume[1], affine, second, moved))
    assert np.isnan(volume[1]).any()
    (note,) = check_source(pair, spacing=spacing)
    assert note == (
        tmp_path / "t2.nii",
        "lies a part of a voxel beside the first channel: it is resampled onto it",
    )


def test_what_headers_lack_is_said_once_for_all_files(tmp_path: Path) -> None:
    for i in range(4):
        nifti(tmp_path / f"{i}.nii", voxels() + i, np.eye(4), codes=(0, 0))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found(DataSpec(volumes=str(tmp_path), patch=4, workers=0))
    assert [str(w.message) for w in said if w.category is DataWarning] == [
        f"data: {tmp_path}/0.nii gives no orientation (sform_code and qform_code are 0): its axes "
        "are taken as right, anterior, superior, with the voxel size of pixdim (and so for 3 more)"
    ]
