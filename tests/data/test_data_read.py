"""Axis order, orientation and voxel size of what comes out of a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ssl3d.data.data_error import BadVolume
from ssl3d.data.read import check_header, read_source
from ssl3d.data.source import Source


def read(path, spacing=None):
    volume, affine = read_source(Source((path,)), spacing=spacing)
    return volume.numpy(), affine.numpy()


def test_axes_are_z_y_x_with_z_up_y_front_x_right(write_nifti: Callable[..., Path]) -> None:
    array = np.zeros((9, 7, 5), np.float32)
    array[8, 0, 1] = 1.0  # top, back, left
    volume, affine = read(write_nifti("a.nii.gz", array, spacing=(3.0, 2.0, 1.5)))
    assert volume.shape == (1, 9, 7, 5)
    assert np.array_equal(np.argwhere(volume[0]), [[8, 0, 1]])
    assert np.allclose(np.diag(affine), [1.5, 2.0, 3.0, 1.0])


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_any_storage_order_comes_out_the_same(tmp_path, axes, signs) -> None:
    """The same anatomy stored along other axes, flipped, and slightly turned in the scanner."""
    reference = np.arange(5 * 7 * 9, dtype=np.float32).reshape(5, 7, 9)  # x, y, z in RAS
    angle = np.radians(12)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    to_world = np.eye(4)
    to_world[:3, :3] = turn @ np.diag([1.0, 2.0, 3.0])
    to_world[:3, 3] = (-30, 12, 7)

    stored = np.transpose(reference, axes)
    to_reference = np.zeros((4, 4))
    to_reference[3, 3] = 1
    for position, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        to_reference[axis, position] = sign
        if sign < 0:
            stored = np.flip(stored, position)
            to_reference[axis, 3] = reference.shape[axis] - 1
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(np.ascontiguousarray(stored), to_world @ to_reference).to_filename(path)

    volume, affine = read(path)
    assert np.array_equal(volume[0], reference.transpose(2, 1, 0))
    assert np.allclose(affine, to_world, atol=1e-5)
    canonical = nibabel.as_closest_canonical(nibabel.load(path))
    assert np.array_equal(volume[0].transpose(2, 1, 0), canonical.get_fdata())


@pytest.mark.parametrize("target", [(1.0, 1.0, 1.0), (2.5, 0.5, 3.0), (5.0, 0.7, 0.7)])
def test_resampling_keeps_size_and_values(write_nifti: Callable[..., Path], target) -> None:
    """A linear ramp in mm must stay that ramp, on as many voxels as fit."""
    spacing, shape = (5.0, 0.8, 1.1), (12, 31, 23)
    z, y, x = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij"
    )
    path = write_nifti("a.nii.gz", (2 * z + 3 * y - x).astype(np.float32), spacing=spacing)
    volume, affine = read(path, target)
    extent = [(n - 1) * s for n, s in zip(shape, spacing, strict=True)]
    assert volume.shape[1:] == tuple(round(e / t) + 1 for e, t in zip(extent, target, strict=True))
    assert np.allclose(np.diag(affine)[:3], target[::-1])
    places = (np.arange(n) * t for n, t in zip(volume.shape[1:], target, strict=True))
    z, y, x = (
        np.minimum(p, e) for p, e in zip(np.meshgrid(*places, indexing="ij"), extent, strict=True)
    )
    assert np.allclose(volume[0], 2 * z + 3 * y - x, atol=2e-3)


def test_spacing_counts_along_the_oriented_axes(tmp_path) -> None:
    """Sagittal storage: the file's first axis runs from foot to head."""
    array = np.random.default_rng(0).normal(size=(10, 20, 30)).astype(np.float32)
    affine = np.array([[0, 0, 1.0, 0], [0, 2.0, 0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1.0]])
    path = tmp_path / "a.nii"
    nibabel.Nifti1Image(array, affine).to_filename(path)
    assert read(path, (2.0, 2.0, 1.0))[0].shape == (1, 19, 20, 30)


def test_voxels_that_are_not_finite_are_marked_also_after_resampling(
    write_nifti: Callable[..., Path],
) -> None:
    array = np.ones((8, 8, 8), np.float32)
    array[2, 3, 4], array[5, 5, 5] = np.nan, np.inf
    path = write_nifti("a.nii", array)
    assert np.array_equal(~np.isfinite(read(path)[0][0]), ~np.isfinite(array))
    assert not np.isinf(read(path)[0]).any()
    finer = read(path, (0.5, 1.0, 1.0))[0][0]
    # Half-way voxels beside a marked one are made of it.
    expected = [[3, 3, 4], [4, 3, 4], [5, 3, 4], [9, 5, 5], [10, 5, 5], [11, 5, 5]]
    assert np.array_equal(np.argwhere(np.isnan(finer)), expected)
    assert np.allclose(finer[np.isfinite(finer)], 1.0)


def test_a_trailing_axis_of_one_is_no_axis(tmp_path) -> None:
    array = np.random.default_rng(0).normal(size=(5, 7, 9, 1)).astype(np.float32)
    path = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(array, np.eye(4)).to_filename(path)
    check_header(path)
    assert np.array_equal(read(path)[0][0], array[..., 0].transpose(2, 1, 0))


def test_stored_scale_is_applied(tmp_path) -> None:
    image = nibabel.Nifti1Image(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.eye(4))
    image.header.set_slope_inter(2.0, -1000.0)
    image.to_filename(tmp_path / "a.nii")
    assert read(tmp_path / "a.nii")[0].max() == 26 * 2.0 - 1000


def test_channels_are_stacked_in_order_and_must_share_a_grid(
    write_nifti: Callable[..., Path], noisy
) -> None:
    t1, t2 = noisy(seed=1), noisy(seed=2)
    first, second = write_nifti("t1.nii", t1), write_nifti("t2.nii", t2)
    assert np.array_equal(read_source(Source((second, first)))[0].numpy(), np.stack([t2, t1]))

    other = write_nifti("size.nii", noisy((20, 24, 27)))
    with pytest.raises(BadVolume, match=r"size\.nii: \(27, 24, 20\) voxels.*share one grid"):
        read_source(Source((first, other)))
    moved = np.eye(4)
    moved[2, 3] = 7.0
    other = write_nifti("moved.nii", t2, affine=moved)
    with pytest.raises(BadVolume, match=r"moved\.nii: lies up to 7\.0 mm away.*register"):
        read_source(Source((first, other)))
