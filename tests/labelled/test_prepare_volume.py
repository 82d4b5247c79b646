"""A file as an encoder expects it, and the way back."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

import ssl3d
from ssl3d.data.data_error import BadVolume
from ssl3d.data.on_grid import prepare_on_grid
from ssl3d.data.spec import DataSpec

ORIENTATIONS = [
    "".join(sides[axis] for axis in order)
    for order in itertools.permutations(range(3))
    for sides in itertools.product("LR", "PA", "IS")
]


def description(**changes: object) -> dict:
    """What encoder.json holds."""
    own = {
        "channels": None,
        "spacing": None,
        "normalise": {"name": "ct_window", "lower": 0, "upper": 100},
        "patch": [32, 32, 32],
        **changes,
    }
    return {"in_channels": 1 if own["channels"] is None else len(own["channels"]), "input": own}


def oblique(orientation: str, shape: tuple[int, ...], angle: float = 0.2) -> np.ndarray:
    """An anisotropic affine whose axes point nearest to `orientation`."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    flip = inv_ornt_aff(axcodes2ornt(orientation), shape)
    affine = turn @ np.linalg.inv(flip)
    affine[:3, :3] = affine[:3, :3] @ np.diag([0.8, 1.0, 2.5])
    affine[:3, 3] += 10, -30, 5
    return affine


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("spacing", [None, (1.5, 1.0, 1.25)])
def test_a_map_returns_to_the_same_place(orientation: str, spacing, tmp_path: Path) -> None:
    shape = (19, 21, 12)
    affine = oblique(orientation, shape)
    image = np.zeros(shape, np.float32)
    image[5:13, 6:15, 3:8] = 100
    image[0, 0, 0] = 50
    nibabel.Nifti1Image(image, affine).to_filename(tmp_path / "a.nii.gz")
    prepared = ssl3d.prepare_volume(tmp_path / "a.nii.gz", description(spacing=spacing))
    assert prepared.orientation == orientation
    assert prepared.source_shape == shape
    assert prepared.source_spacing == pytest.approx((0.8, 1.0, 2.5))
    assert spacing is None or prepared.spacing == pytest.approx(spacing)
    found = (prepared.volume[0] > 0.6).to(torch.uint8)
    labels, back = prepared.restore(found)
    assert np.allclose(back, nibabel.load(tmp_path / "a.nii.gz").affine)
    assert (labels.shape, labels.dtype) == (shape, np.uint8)
    truth = image > 60
    if spacing is None:
        assert np.array_equal(labels > 0, truth)
        return
    # The same physical place, within half a voxel of both grids; what is interpolated, exactly.
    apart = np.argwhere(labels).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    assert (np.abs(apart) * steps <= (steps + max(spacing)) / 2).all()
    assert 2 * (truth & (labels > 0)).sum() / (truth.sum() + labels.sum()) > 0.85
    places, _ = prepared.restore(_places(prepared), mode="bilinear")
    index = np.concatenate([np.indices(shape), np.ones((1, *shape))])
    away = np.abs(places - np.einsum("ij,j...->i...", back, index)[:3])
    assert away[:, 2:-2, 2:-2, 2:-2].max() < 1e-3


@settings(max_examples=15)
@given(
    shape=st.tuples(*[st.integers(4, 14)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.6, 1.0, 1.7, 2.0, 3.0])] * 3),
    orientation=st.sampled_from(ORIENTATIONS),
)
def test_every_voxel_of_the_file_gets_a_value(
    shape, spacing, orientation, tmp_path_factory
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.nii"
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    nibabel.Nifti1Image(image, oblique(orientation, shape, 0.0)).to_filename(path)
    prepared = ssl3d.prepare_volume(
        path, description(spacing=spacing, normalise={"name": "zscore"})
    )
    ones, _ = prepared.restore(np.ones(prepared.valid.shape, np.int16))
    assert (ones == 1).all()
    ramp, affine = prepared.restore(_places(prepared), mode="bilinear")
    index = np.stack(np.indices(shape))
    places = np.einsum("ij,j...->i...", affine[:3, :3], index) + affine[:3, 3].reshape(3, 1, 1, 1)
    inside = np.abs(ramp - places).max(axis=0) < 1e-2
    # Beyond the middles of the outermost voxels there is nothing to interpolate.
    limit = max(spacing) / 2 + 1e-2
    assert np.abs(ramp - places).max() <= limit
    assert inside.mean() > 0.3


def _places(prepared) -> np.ndarray:
    """Where each voxel of the prepared volume lies, (3, D, H, W) in mm."""
    d, h, w = prepared.valid.shape
    z, y, x = np.indices((d, h, w))
    index = np.stack([x, y, z, np.ones_like(x)])
    return np.einsum("ij,j...->i...", prepared.affine, index)[:3].astype(np.float32)


def test_it_is_what_pretraining_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.nii.gz"
    image = rng.gamma(2, size=(12, 13, 14)).astype(np.float32)
    image[3, 4, 5] = np.nan
    nibabel.Nifti1Image(image, np.diag([1, 2, 3, 1])).to_filename(path)
    from ssl3d.data.preparation import prepare
    from ssl3d.data.source import Source

    spec = DataSpec(volumes="-", normalise="zscore", spacing=(1, 1, 1))
    own = prepare(Source((path,)), spec=spec).values
    prepared = ssl3d.prepare_volume(
        str(path), description(normalise={"name": "zscore"}, spacing=[1, 1, 1])
    )
    assert np.array_equal(np.nan_to_num(own), prepared.volume.numpy())
    assert np.array_equal(np.isfinite(own[0]), prepared.valid.numpy())
    assert not prepared.valid.all()


def test_an_encoder_says_by_which_foreground(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    image = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    nibabel.Nifti1Image(image, np.eye(4)).to_filename(path)
    volumes = [
        ssl3d.prepare_volume(path, description(normalise={"name": "zscore"}, **more)).volume
        for more in ({}, {"foreground": {"threshold": "otsu"}}, {"foreground": {"threshold": -1.0}})
    ]
    assert torch.equal(volumes[0], volumes[1])
    assert not torch.equal(volumes[0], volumes[2])


def test_what_cannot_be_prepared(tmp_path: Path) -> None:
    with pytest.raises(BadVolume, match="no such file"):
        ssl3d.prepare_volume(tmp_path / "none.nii", description())
    with pytest.raises(ValueError, match=r"1 files given, but the encoder has 2.*\(t1, t2\)"):
        ssl3d.prepare_volume(tmp_path / "a.nii", description(channels=["t1", "t2"]))
    with pytest.raises(ValueError, match="holds no encoder"):
        ssl3d.prepare_volume(tmp_path / "a.nii", tmp_path)
    path = tmp_path / "a.nii"
    image = np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32)
    nibabel.Nifti1Image(image, np.eye(4)).to_filename(path)
    prepared = ssl3d.prepare_volume([path], description(normalise={"name": "zscore"}))
    with pytest.raises(ValueError, match=r"shape \(8, 9, 10\), but the volume has \(10, 9, 8\)"):
        prepared.restore(image)


def test_several_channels_and_axes_of_one(tmp_path: Path) -> None:
    from ssl3d.data.source import Source

    image = np.random.default_rng(0).normal(size=(8, 9, 10)).astype(np.float32)
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.nii")
        nibabel.Nifti1Image(image[..., None] + number, np.diag([-1, 1, 1, 1])).to_filename(
            paths[-1]
        )
    prepared = prepare_on_grid(Source(tuple(paths)), spec=DataSpec(volumes="-", normalise="zscore"))
    assert prepared.volume.shape == (2, 10, 9, 8)
    both, _ = prepared.restore(prepared.volume)
    assert both.shape == (2, 8, 9, 10)
    scaled = (image - image.mean()) / image.std()
    assert np.corrcoef(both[0].flat, scaled.flat)[0, 1] > 0.999
