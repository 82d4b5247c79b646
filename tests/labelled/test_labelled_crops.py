"""Crops of labelled cases: image and labels stay together, whatever is done to them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled_sets import OFF, TISSUE, Write, found, patterns, training

from ssl3d.data.augment.changes import Augment, _rotation
from ssl3d.data.augment.crop import Crop
from ssl3d.data.augment.placement import Placement, crop_at
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.labelled.fixed_crops import tiles
from ssl3d.data.labelled.truth import IGNORE, LabelMap
from ssl3d.data.preparation import Prepared
from ssl3d.data.store import MemoryVolume
from ssl3d.tasks.finetune.sliding import at_least


def same(first: Crop, second: Crop) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def coordinates() -> MemoryVolume:
    """Each voxel holds its z, y, x; its class is the parity of their sum."""
    grid = np.stack(np.indices((30, 34, 38))).astype(np.float32)
    parity = grid.sum(axis=0, keepdims=True) % 2
    return MemoryVolume(Prepared(np.concatenate([grid, parity]), np.zeros((0, 4), np.int32)))


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    zoom=st.floats(0.7, 1.4),
    spacing=st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3),
    corner=st.tuples(*[st.integers(-4, 28)] * 3),
    flips=st.sets(st.integers(0, 2)),
)
def test_a_turned_crop_shows_the_places_that_a_naive_one_does(
    angles, zoom, spacing, corner, flips
) -> None:
    grid = np.stack(np.indices((30, 34, 38))).astype(np.float32)
    parity = grid.sum(axis=0, keepdims=True) % 2
    volume = MemoryVolume(Prepared(np.concatenate([grid, parity]), np.zeros((0, 4), np.int32)))
    patch = (6, 7, 9)
    mm = np.diag(spacing)
    turn = np.linalg.inv(mm) @ _rotation(list(angles)) @ mm / zoom
    placement = Placement(patch, turn, tuple(sorted(flips)))
    crop = crop_at(volume, corner=corner, placement=placement, labelled=True)
    middle = np.array(corner) + (np.array(patch) - 1) / 2
    for index in np.ndindex(*patch):
        own = [
            p - 1 - i if a in flips else i
            for a, (i, p) in enumerate(zip(index, patch, strict=True))
        ]
        place = middle + turn @ (np.array(own) - (np.array(patch) - 1) / 2)
        inside = ((place >= 1e-3) & (place <= np.array(grid.shape[1:]) - 1 - 1e-3)).all()
        outside = ((place < -1e-3) | (place > np.array(grid.shape[1:]) - 1 + 1e-3)).any()
        if inside:
            assert crop.valid[index]
            assert np.allclose(crop.volume[(slice(None), *index)], place, atol=2e-3)
            if (np.abs(place - np.floor(place) - 0.5) > 1e-3).all():
                assert crop.labels[index] == np.rint(place).sum() % 2
        elif outside:
            assert not crop.valid[index]
            assert crop.labels[index] == IGNORE
            assert not crop.volume[(slice(None), *index)].any()


def test_a_rotation_is_one_of_the_body_and_not_of_voxels() -> None:
    augment = Augment(AugmentSpec(share=1, scale=0, flips=(False,) * 3), patch=(8, 8, 8))
    placement = augment.placement(torch.Generator().manual_seed(0), spacing=(5.0, 1.0, 1.0))
    mm = np.diag([5.0, 1.0, 1.0])
    turn = mm @ placement.turn @ np.linalg.inv(mm)
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1)
    assert 0 < math.degrees(math.acos((np.trace(turn) - 1) / 2)) <= 60


def test_what_is_off_changes_nothing(coordinates: MemoryVolume) -> None:
    augment = Augment(OFF, patch=(6, 6, 6))
    crop = crop_at(coordinates, corner=(-2, 3, 3), placement=Placement((6, 6, 6)), labelled=True)
    for number in range(20):
        random = torch.Generator().manual_seed(number)
        placement = augment.placement(random, spacing=(1, 1, 1))
        assert placement == Placement((6, 6, 6)) or (placement.turn, placement.flips) == (None, ())
        assert augment.intensities(crop, random) is crop


@given(st.integers(0, 200))
def test_intensities_change_and_nothing_else(number: int) -> None:
    random = np.random.default_rng(number)
    volume = torch.from_numpy(random.random((2, 9, 9, 9)).astype(np.float32))
    valid = torch.from_numpy(random.random((9, 9, 9)) > 0.2)
    crop = Crop(volume * valid, valid, torch.ones(9, 9, 9, dtype=torch.int16))
    before = crop.volume.clone()
    spec = AugmentSpec(share=1)
    changed = Augment(spec, patch=(9, 9, 9)).intensities(
        crop, torch.Generator().manual_seed(number)
    )
    again = Augment(spec, patch=(9, 9, 9)).intensities(crop, torch.Generator().manual_seed(number))
    assert same(changed, again)
    assert torch.equal(crop.volume, before), "what is given stays as it is"
    assert changed.valid is valid
    assert changed.labels is crop.labels
    assert not changed.volume[:, ~valid].any()
    assert torch.isfinite(changed.volume).all()
    assert not torch.equal(changed.volume, before)


def test_a_constant_crop_stays_finite() -> None:
    crop = Crop(torch.full((1, 4, 4, 4), 0.5), torch.ones(4, 4, 4, dtype=torch.bool), None)
    nothing = Crop(torch.zeros(1, 4, 4, 4), torch.zeros(4, 4, 4, dtype=torch.bool), None)
    for number in range(10):
        augment = Augment(AugmentSpec(share=1), patch=(4, 4, 4))
        for one in (crop, nothing):
            changed = augment.intensities(one, torch.Generator().manual_seed(number))
            assert torch.isfinite(changed.volume).all()


def test_crops_follow_from_seed_and_number(write_set, tmp_path: Path) -> None:
    write_set(6)
    volumes = found(patterns(tmp_path, folds=2))
    augment = AugmentSpec(share=0.5)
    crops = [training(volumes, augment=augment, seed=seed) for seed in (0, 0, 1)]
    for number in (0, 1, 7, 100):
        first, second = (one[number] for one in crops[:2])
        assert first.source == second.source
        assert same(first.crops[0], second.crops[0])
        assert same(first.crops[0], crops[0][(number, 0)].crops[0])
    assert not all(same(crops[0][n].crops[0], crops[2][n].crops[0]) for n in range(4))
    names = [crops[0][number].source for number in range(9)]
    assert all(len(set(names[i : i + 3])) == 3 for i in (0, 3, 6)), "each once a pass"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_classes_are_shown_alike_often(write: Write, tmp_path: Path, share: float) -> None:
    labels = np.zeros((32, 32, 32), np.uint8)
    labels[4:20, 4:20, 4:20], labels[28, 28, 28] = 1, 2
    for case in range(4):
        image = np.random.default_rng(case).normal(size=labels.shape).astype(np.float32)
        write(f"images/{case}.nii", image)
        write(f"labels/{case}.nii", labels)
    volumes = found(patterns(tmp_path, folds=2, foreground_share=share))
    crops = training(volumes, patch=(4, 4, 4))
    shown = Counter(
        value for n in range(100) for value in crops[n].crops[0].labels.unique().tolist()
    )
    assert shown[2] < 10 if share == 0 else 35 < shown[2] < 65


def test_labels_become_classes_and_what_counts_for_nothing_is_said(
    write: Write, tmp_path: Path
) -> None:
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[2:4], labels[4:6], labels[7] = 40, 20, 255
    for case in range(3):
        image = np.random.default_rng(case).normal(size=labels.shape).astype(np.float32)
        image[0, 0, 0] = np.nan
        write(f"images/{case}.nii", image)
        write(f"labels/{case}.nii", labels)
    truth = LabelMap((0, 40, 20), TISSUE.names, ignore=255)
    volumes = found(patterns(tmp_path, folds=3), truth=truth, patch=(10, 8, 8))
    batch = next(
        iter(LabelledBatches(volumes, patch=(10, 8, 8), augment=OFF, seed=0).fixed("testing"))
    )
    assert batch.labels.dtype == torch.int16
    own = batch.labels[0]
    assert own[:, 4, 4].tolist() == [-1, 0, 0, 1, 1, 2, 2, 0, -1, -1]
    assert own[1, 0, 0] == IGNORE
    assert not batch.valid[0, 1, 0, 0]
    assert not batch.valid[0, [0, -1]].any()
    assert batch.valid[0, 8, 4, 4], "an ignored voxel is part of the image"


@pytest.mark.parametrize("ending", ["RAS", "LPS", "SRA", "oblique"])
def test_labels_and_image_lie_alike_in_any_orientation(
    write: Write, tmp_path: Path, ending: str
) -> None:
    shape = (14, 16, 18)
    labels = np.zeros(shape, np.uint8)
    labels[3:6, 4:8, 5:9], labels[8:12, 9:13, 2:6] = 1, 2
    affine = {
        "RAS": np.diag([1.0, 1.5, 3, 1]),
        "LPS": np.diag([-1.0, -1.5, 3, 1]),
        "SRA": np.array([[0, 1.5, 0, 0], [0, 0, 3.0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        "oblique": np.eye(4),
    }[ending]
    if ending == "oblique":
        affine[:3, :3] = _rotation([0.3, 0.2, -0.4]) @ np.diag([1.0, 1.5, 3.0])
        affine[:3, 3] = 5, -7, 11
    for case in range(3):
        write(f"images/{case}.nii", labels.astype(np.float32) * 10, affine=affine)
        write(f"labels/{case}.nii", labels, affine=affine)
    data = patterns(
        tmp_path,
        folds=3,
        normalise={"name": "ct_window", "lower": 0, "upper": 20},
        spacing=(1, 1, 1),
    )
    volumes = found(data)
    loader = LabelledBatches(volumes, patch=(8, 8, 8), augment=OFF, seed=0).fixed(
        "testing", whole=True
    )
    batch = next(iter(loader))
    clear = (batch.volume[0, 0] * 2 - (batch.volume[0, 0] * 2).round()).abs() < 1e-5
    known = batch.labels[0] >= 0
    agree = (batch.volume[0, 0] * 2).round() == batch.labels[0]
    assert agree[clear & known].float().mean() > 0.99
    assert set(batch.labels.unique().tolist()) <= {IGNORE, 0, 1, 2}, "no label is invented"
    assert (batch.labels[0] == 1).any()
    assert (batch.labels[0] == 2).any()


@given(
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.lists(st.integers(1, 16), min_size=3, max_size=3),
)
def test_tiles_cover_a_volume(edges: list[int], patch: list[int]) -> None:
    """Padded as windows of prediction are, where it is smaller."""
    seen = np.zeros(edges, int)
    corners = tiles(edges, tuple(patch))
    before = at_least(torch.zeros(1, *edges), valid=None, patch=tuple(patch))[2]
    for corner in corners:
        seen[tuple(slice(max(c, 0), c + p) for c, p in zip(corner, patch, strict=True))] += 1
        for c, p, edge, b in zip(corner, patch, edges, before, strict=True):
            assert (0 <= c <= edge - p) if edge >= p else c == -b
    assert seen.all()
    assert len(corners) == math.prod(math.ceil(e / p) for e, p in zip(edges, patch, strict=True))
