"""Crops of cases with finds: what they are centred on, and what they are taught."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from labelled_sets import OFF, Write, found, training

from ssl3d.data.augment.changes import _rotation
from ssl3d.data.augment.placement import Placement, crop_at
from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.fixed_crops import FixedCrops
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import Targets
from ssl3d.data.preparation import Prepared
from ssl3d.data.store import MemoryVolume

TURNED = AugmentSpec(share=1, brightness=0, contrast=0, gamma=0, noise=0)
FIND = Targets(("find",))


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
