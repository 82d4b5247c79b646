"""Boxes of a region, as they lie and resampled, against volumes whose voxels say where they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from run_batches import found

from ssl3d.data.region import TensorRegion
from ssl3d.data.spec import DataSpec

SIZE = (12, 10, 14)


def coordinates(size: tuple[int, int, int]) -> TensorRegion:
    """Three channels: z, y and x of each voxel."""
    axes = torch.meshgrid(*(torch.arange(float(edge)) for edge in size), indexing="ij")
    return TensorRegion(torch.stack(axes), torch.ones(size, dtype=torch.bool))


def box(data: st.DataObject, edges: tuple[int, ...]) -> tuple[tuple, tuple]:
    """A box inside, of any place and size."""
    corner = tuple(data.draw(st.integers(0, edge - 1)) for edge in edges)
    return corner, tuple(
        data.draw(st.integers(1, edge - c)) for c, edge in zip(corner, edges, strict=True)
    )


@given(data=st.data())
def test_a_box_is_what_lies_there(data: st.DataObject) -> None:
    region = coordinates(SIZE)
    assert (region.extent, region.channels) == (SIZE, 3)
    corner, extent = box(data, SIZE)
    volume, valid = region.read(corner, extent, size=extent)
    for place in itertools.product(*map(range, extent)):
        where = [c + p for c, p in zip(corner, place, strict=True)]
        assert volume[(slice(None), *place)].tolist() == where
    assert valid.shape == extent
    assert valid.all()


@pytest.mark.parametrize("corner", [(0, 0, 0), (2, 4, 3)])
@pytest.mark.parametrize(("extent", "size"), [((8, 6, 8), (4, 3, 4)), ((4, 3, 5), (8, 6, 10))])
def test_resampled_coordinates_are_those_of_the_centres(corner, extent, size) -> None:
    """Halved and doubled; beyond the outermost centres the outermost voxel stands."""
    volume, valid = coordinates(SIZE).read(corner, extent, size=size)
    assert volume.shape == (3, *size)
    assert volume.dtype == torch.float32
    for axis in range(3):
        step = extent[axis] / size[axis]
        centres = (np.arange(size[axis]) + 0.5) * step - 0.5
        expected = corner[axis] + centres.clip(0, extent[axis] - 1)
        along = volume[axis].movedim(axis, 0).flatten(1)
        assert torch.equal(along, torch.from_numpy(expected).float()[:, None].expand_as(along))
    assert valid.all()


def by_hand(valid: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """True where every voxel between whose centres a new centre lies is valid."""
    takes = []
    for edge, new in zip(valid.shape, size, strict=True):
        centres = [((2 * i + 1) * edge - new) / (2 * new) for i in range(new)]
        inside = [min(max(c, 0), edge - 1) for c in centres]
        takes.append([{int(np.floor(c + 1e-9)), int(np.ceil(c - 1e-9))} for c in inside])
    whole = np.zeros(size, bool)
    for place in itertools.product(*map(range, size)):
        sources = (take[p] for take, p in zip(takes, place, strict=True))
        whole[place] = all(valid[source] for source in itertools.product(*sources))
    return whole


@given(
    edges=st.tuples(*[st.integers(1, 7)] * 3),
    size=st.tuples(*[st.integers(1, 7)] * 3),
    seed=st.integers(0, 99),
)
def test_validity_is_conservative(edges, size, seed: int) -> None:
    rng = np.random.default_rng(seed)
    valid = torch.from_numpy(rng.random(edges) < 0.9)
    values = torch.where(valid, torch.from_numpy(rng.random((2, *edges), np.float32)) + 1, 0)
    volume, whole = TensorRegion(values, valid).read((0, 0, 0), edges, size=size)
    assert np.array_equal(whole.numpy(), valid.numpy() if size == edges else by_hand(valid, size))
    assert (volume[:, ~whole] == 0).all()
    # Made of nothing but valid voxels: none is drawn to the 0 of what is not.
    assert (volume[:, whole] >= 1 - 1e-5).all()


def test_a_corner_with_the_smallest_share_counts() -> None:
    """A share of 1/194 on each axis is 1e-7 of a voxel."""
    valid = torch.ones(97, 97, 97, dtype=torch.bool)
    valid[1, 1, 1] = False
    _, whole = TensorRegion(valid[None].float(), valid).read((0,) * 3, (97,) * 3, size=(96,) * 3)
    assert torch.argwhere(~whole).tolist() == [
        list(place) for place in itertools.product((0, 1), repeat=3)
    ]


@pytest.mark.parametrize(
    ("corner", "extent"),
    [((-1, 0, 0), (2, 2, 2)), ((0, 9, 0), (2, 2, 2)), ((0, 0, 0), (2, 2, 0))],
)
def test_a_box_that_leaves_the_region_is_refused(corner, extent) -> None:
    with pytest.raises(ValueError, match=r"box of .* voxels from .* leaves the region of 12"):
        coordinates(SIZE).read(corner, extent, size=extent)


def test_flips_are_applied_before(write_nifti, tmp_path) -> None:
    """What a region holds is the crop as it was turned."""
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 8, 8))
    write_nifti("set/a.nii", np.ascontiguousarray(ramp))
    how = {"name": "ct_window", "lower": 0, "upper": 7}
    spec = DataSpec(volumes=str(tmp_path / "set"), patch=8, normalise=how, holdout=0, workers=0)
    volumes = found(spec)
    dataset = volumes.training_crops(seed=0, extent=(8, 8, 8))
    turned = set()
    for i in range(20):
        crop = dataset[i]
        region = TensorRegion(crop["volume"], crop["valid"])
        volume, _ = region.read((2, 0, 0), (4, 8, 8), size=(4, 8, 8))
        column = (volume[0, :, 0, 0] * 7).round().tolist()
        turned.add(tuple(column))
    assert turned == {(2.0, 3.0, 4.0, 5.0), (5.0, 4.0, 3.0, 2.0)}
