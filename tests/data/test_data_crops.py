"""Crops: pure functions of (seed, index), inside the volume, on the foreground."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d.data.bad import BadFilePolicy, BadFileRecord
from ssl3d.data.box import around, cut
from ssl3d.data.crops import CropDataset, as_sample
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import find_sources
from ssl3d.data.held_out_crops import HeldOutDataset
from ssl3d.data.preparation import Prepared
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import MemoryVolume, VolumeStore


@pytest.fixture
def build(tmp_path: Path):
    """A dataset over the files of the test's folder."""

    def make(kind=CropDataset, *, seed: int | None = 0, **options):
        options = {"patch": (8, 8, 8), **options}
        spec = DataSpec(volumes=str(tmp_path / "set"), **options)
        found = find_sources(spec)
        policy = BadFilePolicy(BadFileRecord(tmp_path / "bad.jsonl"), total=len(found))
        extra = {} if kind is HeldOutDataset else {"seed": seed, "policy": policy}
        return kind(found, spec=spec, store=VolumeStore(spec), **extra)

    return make


def same(first: dict, second: dict) -> bool:
    tensors = all(torch.equal(first[key], second[key]) for key in ("volume", "valid"))
    return tensors and all(first[key] == second[key] for key in ("index", "source"))


def test_a_crop_depends_on_seed_and_index_alone(build, write_nifti, noisy) -> None:
    for i in range(5):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    dataset, again = build(seed=3), build(seed=3)
    forward = [dataset[i] for i in range(20)]
    backward = [again[i] for i in reversed(range(20))][::-1]
    torch.manual_seed(1)
    np.random.seed(1)
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert same(build(seed=3)[10**9], again[10**9])
    other = build(seed=4)
    assert sum(same(a, other[i]) for i, a in enumerate(forward)) == 0
    assert not same(forward[0], forward[5])
    with pytest.raises(ValueError, match="seed is -1"):
        build(seed=-1)


def test_each_pass_visits_every_file_once_in_an_order_of_its_own(build, write_nifti, noisy) -> None:
    for i in range(5):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    dataset = build()
    passes = [[dataset[i]["source"] for i in range(5 * p, 5 * p + 5)] for p in range(6)]
    assert all(len(set(names)) == 5 for names in passes)
    assert len({tuple(names) for names in passes}) > 1


def test_what_a_crop_holds(build, write_nifti, noisy) -> None:
    path = write_nifti("set/a.nii", noisy((20, 6, 28)))
    crop = build(patch=(8, 10, 12))[4]
    assert crop["volume"].shape == (1, 8, 10, 12)
    assert crop["volume"].dtype == torch.float32
    assert crop["valid"].shape == (8, 10, 12)
    assert crop["valid"].dtype == torch.bool
    assert crop["volume"].is_contiguous()
    assert (crop["index"], crop["source"]) == (4, path.as_posix())
    assert int(crop["valid"].sum()) == 8 * 6 * 12
    assert (crop["volume"][:, ~crop["valid"]] == 0).all()


def test_voxels_that_are_not_finite_are_zero_and_not_valid(build, write_nifti, noisy) -> None:
    array = noisy((8, 8, 8))
    array[1, 2, 3], array[4, 4, 4] = np.nan, -np.inf
    write_nifti("set/a.nii", array)
    crop = build(flips=(False, False, False))[0]
    assert torch.argwhere(~crop["valid"]).tolist() == [[1, 2, 3], [4, 4, 4]]
    assert torch.isfinite(crop["volume"]).all()
    assert (crop["volume"][:, ~crop["valid"]] == 0).all()


def test_a_voxel_is_valid_where_all_channels_are() -> None:
    crop = np.ones((2, 3, 3, 3), np.float32)
    crop[0, 0, 0, 0] = crop[1, 2, 2, 2] = np.nan
    sample = as_sample(crop, index=0, source=Source((Path("a"),)))
    assert torch.argwhere(~sample["valid"]).tolist() == [[0, 0, 0], [2, 2, 2]]
    assert (sample["volume"] == sample["valid"]).all()


@settings(max_examples=60, deadline=None)
@given(
    edges=st.tuples(*[st.integers(2, 30)] * 3),
    patch=st.tuples(*[st.integers(1, 40)] * 3),
    data=st.data(),
)
def test_a_cut_equals_padding_then_slicing(edges, patch, data) -> None:
    point = [data.draw(st.integers(-5, edge + 5)) for edge in edges]
    values = np.random.default_rng(0).random((2, *edges), dtype=np.float32)
    volume = MemoryVolume(Prepared(values=values, points=np.zeros((1, 3), np.int32)))
    corner = around(np.array(point), edges=edges, patch=patch)
    crop = cut(volume, corner=corner, patch=patch)
    padded = np.pad(values, [(0, 0), *[(40, 40)] * 3], constant_values=np.nan)
    box = tuple(slice(40 + c, 40 + c + p) for c, p in zip(corner, patch, strict=True))
    assert np.array_equal(crop, padded[(slice(None), *box)], equal_nan=True)
    # As much volume as fits, and the point itself where it lies in the volume.
    expected = np.prod([min(edge, size) for edge, size in zip(edges, patch, strict=True)])
    assert np.isfinite(crop[0]).sum() == expected
    for c, p, place, edge in zip(corner, patch, point, edges, strict=True):
        assert c <= place < c + p or not 0 <= place < edge


def test_crops_hit_the_foreground_as_often_as_asked(build, write_nifti) -> None:
    array = np.random.default_rng(0).normal(0, 1, (48, 48, 48)).astype(np.float32)
    array[20:23, 30:32, 5:9] += 500
    write_nifti("set/a.nii", array)
    options = {"normalise": {"name": "ct_window", "lower": 0, "upper": 500}}

    def hits(share: float, threshold) -> int:
        foreground = {"threshold": threshold, "share": share}
        dataset = build(foreground=foreground, **options)
        return sum(bool((dataset[i]["volume"] > 0.5).any()) for i in range(100))

    assert hits(1.0, 250.0) == 100
    # Percentiles of a volume with so little foreground coincide with the noise: give a number.
    assert 30 <= hits(0.4, 250.0) <= 60
    assert hits(0.0, 250.0) < 20


def test_crops_reach_every_place(build, write_nifti, noisy) -> None:
    write_nifti("set/a.nii", noisy((10, 12, 9)))
    ramp = np.arange(10 * 12 * 9, dtype=np.float32).reshape(10, 12, 9)
    write_nifti("set/a.nii", ramp)
    dataset = build(
        foreground={"share": 0.0},
        flips=(False, False, False),
        normalise={"name": "ct_window", "lower": 0, "upper": 10 * 12 * 9 - 1},
    )
    corners = Counter(
        round(float(dataset[i]["volume"][0, 0, 0, 0]) * (10 * 12 * 9 - 1)) for i in range(400)
    )
    every = {int(ramp[z, y, x]) for z in range(3) for y in range(5) for x in range(2)}
    assert set(corners) == every


@pytest.mark.parametrize("flips", [(True, False, False), (False, False, True), (False,) * 3])
def test_flips_turn_the_axes_that_are_named(build, write_nifti, flips) -> None:
    ramp = np.arange(8 * 8 * 8, dtype=np.float32).reshape(8, 8, 8)
    write_nifti("set/a.nii", ramp)
    how = {"name": "ct_window", "lower": 0, "upper": 511}
    dataset = build(flips=flips, normalise=how)
    seen = Counter()
    for i in range(60):
        crop = dataset[i]["volume"][0].numpy() * 511
        turned = tuple(
            bool(np.take(crop, -1, a).sum() < np.take(crop, 0, a).sum()) for a in (0, 1, 2)
        )
        assert np.allclose(np.flip(crop, [a for a in range(3) if turned[a]]), ramp, atol=1e-3)
        seen[turned] += 1
    assert not any(
        turned and not allowed for t in seen for turned, allowed in zip(t, flips, strict=True)
    )
    for axis in range(3):
        turned = sum(count for t, count in seen.items() if t[axis])
        assert 15 <= turned <= 45 if flips[axis] else turned == 0


def test_held_out_crops_are_fixed(build, write_nifti, noisy) -> None:
    for i in range(3):
        write_nifti(f"set/{i}.nii", noisy((30, 24, 28), seed=i))
    dataset = build(HeldOutDataset, holdout_crops=3)
    assert len(dataset) == 9
    crops = [dataset[i] for i in range(9)]
    assert [Path(crop["source"]).stem for crop in crops] == list("000111222")
    assert all(
        same(crop, build(HeldOutDataset, holdout_crops=3)[i]) for i, crop in enumerate(crops)
    )
    # The first is centred on the bright block in the middle, so nearly all of it is bright.
    assert all(float((crop["volume"] > 0.5).float().mean()) > 0.9 for crop in crops[::3])
    assert len({crop["volume"].numpy().tobytes() for crop in crops}) == 9
    with pytest.raises(IndexError):
        dataset[9]


def test_a_bad_file_is_replaced_alike_in_every_process(build, write_nifti, noisy, tmp_path) -> None:
    for i in range(4):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    write_nifti("set/bad.nii", np.ones((9, 9, 9), np.float32))
    dataset, again = build(), build()
    forward = [dataset[i] for i in range(15)]
    assert all(same(again[i], forward[i]) for i in reversed(range(15)))
    assert Counter(Path(crop["source"]).stem for crop in forward).total() == 15
    assert all(not crop["source"].endswith("bad.nii") for crop in forward)
    record = BadFileRecord(tmp_path / "bad.jsonl").read()
    assert list(record.values()) == [f"{tmp_path}/set/bad.nii: no contrast: every voxel is 1"]
    held = build(HeldOutDataset, holdout_crops=1)
    assert [Path(held[i]["source"]).stem for i in range(4)] == ["0", "1", "2", "3"]
    with pytest.raises(BadVolume, match="no contrast"):
        held[4]


def test_no_usable_file_at_all(build, write_nifti) -> None:
    write_nifti("set/a.nii", np.ones((9, 9, 9), np.float32))
    with pytest.raises(DataError, match=r"(?s)none of 1 samples can be used:.*no contrast"):
        build()[0]
