"""Crops of labelled cases: image and labels stay together, whatever is done to them."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled_sets import TISSUE, Write, found, patterns

from ssl3d.data.augment.changes import Augment, _rotation
from ssl3d.data.augment.crop import Crop
from ssl3d.data.augment.placement import Placement, crop_at
from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.labelled.crops import LabelledCrops
from ssl3d.data.labelled.fixed_crops import FixedCrops, tiles
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import IGNORE, LabelMap, Targets
from ssl3d.data.preparation import Prepared
from ssl3d.data.store import MemoryVolume
from ssl3d.tasks.finetune.sliding import at_least

OFF = AugmentSpec.off()
TURNED = AugmentSpec(share=1, brightness=0, contrast=0, gamma=0, noise=0)
FIND = Targets(("find",))


def training(volumes, *, patch=(8, 8, 8), augment=OFF, seed=0) -> LabelledCrops:
    return LabelledCrops(
        volumes.sides.training,
        data=volumes.data,
        patch=patch,
        seed=seed,
        augment=augment,
        store=volumes.training_store,
        policy=volumes.policy,
    )


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


def finds(write_set, folder: Path, points: str, manifest: str, **options: object):
    """Six cases of 12 x 14 x 16 voxels; those with odd numbers have finds."""
    write_set(6)
    (folder / "m.csv").write_text(manifest)
    (folder / "p.csv").write_text(points)
    data = LabelledData(
        images=f"{folder}/images",
        manifest=f"{folder}/m.csv",
        points=f"{folder}/p.csv",
        folds=2,
        workers=0,
        **options,
    )
    return found(data, truth=FIND, patch=(4, 4, 4))


CASES = "image,find\n" + "".join(f"{case:03d},{case % 2}\n" for case in range(6))


def test_crops_are_centred_on_finds(write_set, tmp_path: Path) -> None:
    points = "image,x,y,z\n" + "".join(f"00{case},10,9,5\n" for case in (1, 3, 5))
    volumes = finds(write_set, tmp_path, points, CASES, crops=3, point_share=0)
    crops = training(volumes, patch=(4, 4, 4))
    for number in range(8):
        sample = crops[number]
        positive = int(Path(sample.source).stem) % 2
        assert sample.targets.tolist() == [positive]
        assert len(sample.crops) == 3
        case = next(c for c in volumes.sides.training if c.name == sample.source)
        if positive:
            assert case.points[0].place == pytest.approx((5, 9, 10))
            whole = volumes.training_store.volume(case.source)
            value = whole.prepared.values[0, 5, 9, 10]
            assert bool((sample.crops[0].volume == value).any()), "one find is shown"


def test_finds_with_targets_of_their_own_say_what_a_crop_shows(write_set, tmp_path: Path) -> None:
    points = "image,x,y,z,find\n" + "".join(f"00{case},10,9,5,1\n" for case in (1, 3, 5))
    volumes = finds(write_set, tmp_path, points, CASES, crops=1, point_share=0.5)
    for augment in (OFF, TURNED):
        crops = training(volumes, patch=(4, 4, 4), augment=augment)
        seen = Counter()
        for number in range(60):
            sample = crops[number]
            case = next(c for c in volumes.sides.training if c.name == sample.source)
            target = int(sample.targets)
            seen[bool(case.points), target] += 1
        assert set(seen) == {(True, 1), (True, 0), (False, 0)}
    fixed = FixedCrops(
        volumes.sides.testing, data=volumes.data, patch=(4, 4, 4), store=volumes.fixed_store
    )
    for number in range(len(fixed)):
        assert len(fixed[number].crops) == 3 * 4 * 4
        assert int(fixed[number].targets) == int(Path(fixed[number].source).stem) % 2


@pytest.mark.parametrize(("place", "augment"), [("10,9,5", OFF), ("0,0,0", TURNED)])
def test_one_find_is_shown_where_a_target_is_of_the_case_alone(
    write_set, tmp_path: Path, place: str, augment: AugmentSpec
) -> None:
    """Finds say which place they are of, and nothing of the age."""
    write_set(4)
    (tmp_path / "m.csv").write_text("image,age,find\n000,1,1\n001,0,0\n002,1,1\n003,0,0\n")
    (tmp_path / "p.csv").write_text(f"image,x,y,z,find\n000,{place},1\n002,{place},1\n")
    data = LabelledData(
        images=f"{tmp_path}/images",
        manifest=f"{tmp_path}/m.csv",
        points=f"{tmp_path}/p.csv",
        folds=2,
        workers=0,
        point_share=0,
        foreground_share=0,
    )
    both = training(found(data, truth=Targets(("find", "age"))), patch=(4, 4, 4), augment=augment)
    alone = training(found(data, truth=FIND), patch=(4, 4, 4))
    assert all(both[n].targets[0] == both[n].targets[1] for n in range(40)), "shown where there"
    with_finds = [alone[n] for n in range(20) if Path(alone[n].source).stem in ("000", "002")]
    assert sum(float(sample.targets[0]) for sample in with_finds) < 5, "seldom met by chance"


def test_what_nobody_knows_of_a_find_and_its_case_teaches_nothing(write_set, tmp_path) -> None:
    write_set(6)
    known = {1: "", 3: "1", 5: "1"}  # of case 5 it is known, of its find it is not
    rows = [f"{case:03d},{known.get(case, 0)},{case % 2}" for case in range(6)]
    (tmp_path / "m.csv").write_text("\n".join(["image,right,left", *rows]))
    own = [f"00{case},10,9,5,{right},1" for case, right in ((1, ""), (3, "1"), (5, ""))]
    (tmp_path / "p.csv").write_text("\n".join(["image,x,y,z,right,left", *own]))
    data = LabelledData(
        images=f"{tmp_path}/images",
        manifest=f"{tmp_path}/m.csv",
        points=f"{tmp_path}/p.csv",
        folds=6,
        fold=0,
        workers=0,
    )
    volumes = found(data, truth=Targets(("right", "left")), patch=(4, 4, 4))
    crops = training(volumes, patch=(4, 4, 4))
    seen: dict[int, set[tuple[str, str]]] = {}
    for number in range(100):
        right, left = (f"{value:g}" for value in crops[number].targets.tolist())
        seen.setdefault(int(Path(crops[number].source).stem), set()).add((right, left))
    wanted = {
        1: {("nan", "1"), ("nan", "0")},
        3: {("1", "1"), ("0", "0")},
        5: {("nan", "1"), ("0", "0")},
    }
    there = {case: seen[case] for case in wanted if case in seen}
    assert there == {case: wanted[case] for case in there}
    assert 1 in there


@pytest.mark.parametrize("first", ["healthy", "aneurysm"])
def test_what_no_find_is_taught_as_is_said(write_set, tmp_path: Path, first: str) -> None:
    classes = ("healthy", "aneurysm") if first == "healthy" else ("aneurysm", "healthy")
    write_set(6)
    names = {0: "healthy", 1: "aneurysm"}
    (tmp_path / "m.csv").write_text(
        "image,find\n" + "".join(f"{case:03d},{names[case % 2]}\n" for case in range(6))
    )
    data = {"images": f"{tmp_path}/images", "manifest": f"{tmp_path}/m.csv", "folds": 2}
    truth = Targets(("find",), classes=classes)
    own = "image,x,y,z,find\n" + "".join(f"00{case},10,9,5,aneurysm\n" for case in (1, 3, 5))
    for points, said in ((own, True), (own.replace(",find", "").replace(",aneurysm", ""), False)):
        (tmp_path / "p.csv").write_text(points)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found(
                LabelledData(**data, points=f"{tmp_path}/p.csv", workers=0),
                truth=truth,
                patch=(4, 4, 4),
            )
        words = [str(one.message) for one in caught if "show no find" in str(one.message)]
        assert len(words) == said
        assert all(f"the class '{first}'" in one for one in words)


def test_a_turned_crop_knows_what_it_shows() -> None:
    turn = np.linalg.inv(np.diag([1.0, 2, 1])) @ _rotation([0.5, 0.1, 1.2]) @ np.diag([1.0, 2, 1])
    for place in np.random.default_rng(0).uniform(0, 24, (40, 3)):
        grid = np.stack(np.indices((24, 24, 24)))
        near = np.linalg.norm(grid - np.rint(place)[:, None, None, None], axis=0) < 0.5
        volume = MemoryVolume(Prepared(near[None].astype(np.float32), np.zeros((0, 3), np.int32)))
        placement = Placement((9, 9, 9), turn)
        crop = crop_at(volume, corner=(8, 8, 8), placement=placement, labelled=False)
        shown = placement.holds(np.rint(place) - 12)
        # Within a voxel of the rim, both answers are right.
        rim = np.abs(np.abs(np.linalg.solve(turn, np.rint(place) - 12)).max() - 4.5) < 1.5
        assert rim or bool(crop.volume.max() > 0.1) == shown


@pytest.mark.parametrize(
    ("unit", "xyz"), [("voxels", "2,3,4"), ("ras", "-2,-4.5,12"), ("lps", "2,4.5,12")]
)
def test_points_in_voxels_and_millimetres(
    write: Write, tmp_path: Path, unit: str, xyz: str
) -> None:
    affine = np.diag([-1.0, -1.5, 3, 1])
    for case in range(4):
        image = np.random.default_rng(case).normal(size=(8, 9, 10)).astype(np.float32)
        image[4, 3, 2] = 1000 + case
        write(f"images/00{case}.nii", image, affine=affine)
    (tmp_path / "m.csv").write_text("image,find\n000,1\n001,0\n002,1\n003,0\n")
    (tmp_path / "p.csv").write_text(f"image,x,y,z\n000,{xyz}\n001,{xyz}\n002,{xyz}\n003,{xyz}\n")
    data = LabelledData(
        images=f"{tmp_path}/images",
        manifest=f"{tmp_path}/m.csv",
        folds=2,
        points=f"{tmp_path}/p.csv",
        points_in=unit,
        workers=0,
    )
    volumes = found(data, truth=FIND, patch=(4, 4, 4))
    for case in volumes.sides.testing:
        values = volumes.fixed_store.volume(case.source).prepared.values[0]
        place = tuple(round(one) for one in case.points[0].place)
        assert values[place] == values.max()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("009,1,1,1", "names '009' in line 2, which is none of the images"),
        ("000,1,1,99", r"line 2: \(1, 1, 99\) lies outside of .*000.nii: check data.points_in"),
        ("000,1,1,", "line 2: x, y, z must be numbers"),
    ],
)
def test_points_that_are_none(write_set, tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        finds(write_set, tmp_path, f"image,x,y,z\n{row}\n", CASES)


def test_points_may_be_all_that_is_known_of_targets(write_set, tmp_path: Path) -> None:
    write_set(4)
    (tmp_path / "p.csv").write_text(
        "image,x,y,z,find\n"
        + "".join(f"00{i},3,3,3,{int(i < 2)}\n" for i in range(4))
        + "000,4,4,4,0\n"
    )
    data = LabelledData(images=f"{tmp_path}/images", points=f"{tmp_path}/p.csv", folds=2, workers=0)
    volumes = found(data, truth=FIND)
    cases = [*volumes.sides.training, *volumes.sides.testing]
    assert {Path(c.name).stem: c.targets for c in cases} == {
        "000": (1,),
        "001": (1,),
        "002": (0,),
        "003": (0,),
    }


def test_points_name_images_as_the_manifest_does(write_set, tmp_path: Path) -> None:
    write_set(4)
    (tmp_path / "m.csv").write_text("uid,find\n000,1\n001,0\n002,1\n003,0\n")
    (tmp_path / "p.csv").write_text("uid,x,y,z\n000,3,4,5\n002,3,4,5\n")
    data = LabelledData(
        images=f"{tmp_path}/images",
        manifest=f"{tmp_path}/m.csv",
        points=f"{tmp_path}/p.csv",
        columns={"image": "uid"},
        folds=2,
    )
    sides = found(data, truth=FIND).sides
    assert {case.name[-5]: len(case.points) for case in (*sides.training, *sides.testing)} == {
        "0": 1,
        "1": 0,
        "2": 1,
        "3": 0,
    }
