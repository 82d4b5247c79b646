"""Cases from patterns, lists and tables; whatever is unclear is one message."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from labelled_sets import TISSUE, Write, found, patterns

from ssl3d.data.data_error import BadVolume, DataError, DataWarning
from ssl3d.data.labelled.classes import check_classes
from ssl3d.data.labelled.find import find_cases
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap, Targets

FIND = Targets(("find",))


def test_patterns_pair_images_and_labels(write_set, tmp_path: Path) -> None:
    write_set(3)
    with pytest.warns(DataWarning, match="each of 3 cases counts as a person"):
        cases, _ = find_cases(patterns(tmp_path), truth=TISSUE)
    assert [case.image.files[0].name for case in cases] == ["000.nii", "001.nii", "002.nii"]
    assert [case.label.parent.name for case in cases] == ["labels"] * 3
    assert [case.label.name for case in cases] == ["000.nii", "001.nii", "002.nii"]
    assert len({case.group for case in cases}) == 3


def test_lists_and_several_channels(write_set, tmp_path: Path) -> None:
    write_set(2)
    images = tuple(f"{tmp_path}/images/00{i}.nii" for i in range(2))
    labels = tuple(f"{tmp_path}/labels/00{i}.nii" for i in range(2))
    data = LabelledData(images={"t1": images, "t2": images}, labels=labels)
    cases, _ = find_cases(data, truth=TISSUE)
    assert data.channels == ("t1", "t2")
    assert [len(case.image.files) for case in cases] == [2, 2]
    assert [str(case.label) for case in cases] == list(labels)


def test_a_case_without_its_label_is_named(write_set, tmp_path: Path) -> None:
    write_set(3)
    (tmp_path / "labels/001.nii").unlink()
    with pytest.raises(
        DataError, match=r"^data: 1 samples have not every channel: 001 lacks labels"
    ):
        find_cases(patterns(tmp_path), truth=TISSUE)
    (tmp_path / "labels/000.nii").unlink()
    (tmp_path / "labels/002.nii").unlink()
    with pytest.raises(DataError, match=r"^data.labels: .* matches no file"):
        find_cases(patterns(tmp_path), truth=TISSUE)


def test_images_alone_have_no_labels(write_set, tmp_path: Path) -> None:
    write_set(2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"^data.images: the folder .*empty' holds 0 files"):
        find_cases(LabelledData(images=f"{tmp_path}/empty"), truth=TISSUE)
    data = LabelledData(images=f"{tmp_path}/images")
    with pytest.raises(DataError, match="2 of 2 cases have no label map"):
        find_cases(data, truth=TISSUE)
    with pytest.raises(DataError, match=r"no table has the target columns 'find'.*no tables"):
        find_cases(data, truth=FIND)


def manifest(folder: Path, text: str, name: str = "m.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_manifest_alone(write_set, tmp_path: Path) -> None:
    write_set(2)
    path = manifest(
        tmp_path,
        "image,label,group,stratum,age,find\n"
        "images/001.nii,labels/001.nii,anna,old,71,1\n"
        "images/000.nii,labels/000.nii,bert,young,,0\n",
    )
    cases, _ = find_cases(LabelledData(manifest=path), truth=TISSUE)
    assert [(c.image.files[0].name, c.label.name, c.group, c.stratum) for c in cases] == [
        ("000.nii", "000.nii", "bert", "young"),
        ("001.nii", "001.nii", "anna", "old"),
    ]
    assert cases[1].extra["age"] == "71"
    ages = Targets(("age", "find"), kind="number")
    cases, _ = find_cases(LabelledData(manifest=path), truth=ages)
    assert math.isnan(cases[0].targets[0])
    assert cases[1].targets == (71, 1)
    assert cases[0].label is None, "targets are learned, not labels"


def test_json_says_the_same(write_set, tmp_path: Path) -> None:
    write_set(2)
    rows = [
        {"t1": f"images/00{i}.nii", "t2": f"images/00{1 - i}.nii", "find": i == 1, "x": None}
        for i in range(2)
    ]
    path = manifest(tmp_path, json.dumps(rows), "m.json")
    data = LabelledData(manifest=path, columns={"image": ("t1", "t2")})
    cases, _ = find_cases(data, truth=FIND)
    assert data.channels == ("t1", "t2")
    assert [case.targets for case in cases] == [(0,), (1,)]
    assert [case.stratum for case in cases] == ["0", "1"]
    assert [case.image.files[1].name for case in cases] == ["001.nii", "000.nii"]


def test_a_manifest_beside_images_names_them_by_the_end_of_their_path(
    write_set, tmp_path: Path
) -> None:
    write_set(3)
    path = manifest(tmp_path, "series;find\n000;yes\nimages/001.nii;no\n002.nii;yes\n")
    data = LabelledData(images=f"{tmp_path}/images", manifest=path, columns={"image": "series"})
    cases, _ = find_cases(data, truth=Targets(("find",), classes=("no", "yes")))
    assert [case.targets for case in cases] == [(1,), (0,), (1,)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,find\n000,1\n001,0\n002,0\n003,1\n", "names '003' in line 5, which is none of"),
        ("image,find\n000,1\n001,0\n", "no row for 1 of 3 images, such as .*002"),
        ("image,find\n000,1\n001,0\n002,0\n002.nii,0\n", "in line 4 and line 5: name it once"),
        ("image,find\n000,1\n001,0\n002,2.5\n", "line 4, column find: '2.5' is no class"),
        ("image,find\n000,1\n001,0\n002,NA\n", "1 of 3 cases have no target, such as .*002"),
        ("image,other\n000,1\n001,0\n002,1\n", "no table has the target columns 'find': there"),
        ("name,find\n000,1\n", "image is needed, once"),
        ("image,find\n", "has no rows"),
        ("image,find,group\n000,1,a\n001,0,\n002,1,b\n", "no group in line 3"),
        ("image,find,Fold\n000,1,0\n001,0,1\n002,1,1\n", "'Fold' and no 'fold': call it 'fold'"),
        ("image,find,valids\n000,1,\n001,0,\n002,1,\n", "a column 'valids' and no 'valid'"),
        ("image,find,fold\n000,1,0\n001,0,5\n002,1,1\n", "line 3: fold is '5': give every case"),
    ],
)
def test_tables_that_are_unclear(write_set, tmp_path: Path, text: str, message: str) -> None:
    write_set(3)
    data = LabelledData(images=f"{tmp_path}/images", manifest=manifest(tmp_path, text))
    with pytest.raises(DataError, match=message) as caught:
        find_cases(data, truth=FIND)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,label\nimages/000.nii,labels/9.nii\n",
            r"labels/9.nii' in line 2, which is no file",
        ),
        ("image,label\nimages/000.nii,\n", "has no label in line 2"),
        ("image,label\nimages/000.nii,a\nimages/../images/000.nii,b\n", "in line 2 and line 3"),
        ("image\nimages/000.nii\n", "image and label are needed"),
        ("{}", "holds no list"),
        ("[1]", "holds no object, entry 1"),
        ('[{"image": "a"}]', "has no label, entry 1"),
        ('[{"image": "a", "label": ["b"]}]', "gives label several values, entry 1"),
        ('[{"image": "a", "image": "b"}]', "gives 'image' twice"),
        ("[", "is not JSON"),
    ],
)
def test_manifests_that_are_unclear(write_set, tmp_path: Path, text: str, message: str) -> None:
    write_set(1)
    path = manifest(tmp_path, text, "m.json" if text[0] in "[{" else "m.csv")
    with pytest.raises(DataError, match=message):
        find_cases(LabelledData(manifest=path), truth=TISSUE)


def test_a_group_is_given_once(write_set, tmp_path: Path) -> None:
    write_set(2)
    path = manifest(tmp_path, "image,find,group\n000,1,a\n001,0,b\n")
    data = LabelledData(images=f"{tmp_path}/images", manifest=path, group_by="(00)")
    with pytest.raises(DataError, match=r"data.group_by or data.group_file is given too"):
        find_cases(data, truth=FIND)


def test_labels_on_another_grid_or_with_other_values(write_set, write: Write, tmp_path) -> None:
    write_set(4)
    data = patterns(tmp_path, folds=2)
    small = np.zeros((12, 14, 15), np.uint8)
    write("labels/001.nii", small)
    with pytest.raises(BadVolume, match=r"labels/001.nii: \(15, 14, 12\) voxels.*share one grid"):
        found(data)
    far = np.eye(4)
    far[2, 3] = 20
    labels = np.zeros((12, 14, 16), np.uint8)
    write("labels/001.nii", labels, affine=far)
    with pytest.raises(BadVolume, match=r"labels/001.nii: lies up to 20.0 mm away from 001.nii"):
        found(data)
    labels[0, 0, :2], labels[3, 3, 3] = (7, 9), 1
    write("labels/001.nii", labels)
    volumes = found(data)
    match = r"labels/001.nii: holds the labels 7, 9 in 2 voxels, which are none of 0, 1, 2"
    with pytest.raises(BadVolume, match=match):
        volumes.count_classes()
    case = next(c for c in [*volumes.sides.training, *volumes.sides.testing] if "001" in c.name)
    with pytest.raises(BadVolume, match=match):
        volumes.training_store.volume(case.source)
    ignoring = LabelMap((0, 1, 2), TISSUE.names, ignore=7)
    with pytest.raises(BadVolume, match="labels 9 in 1 voxels, which are none of 0, 1, 2, 7"):
        found(data, truth=ignoring).count_classes()


def test_a_bad_case_may_be_left_out(write_set, write: Write, tmp_path) -> None:
    write_set(6)
    write("labels/001.nii", np.zeros((3, 3, 3), np.uint8))
    (tmp_path / "images/002.nii").write_bytes(b"none")
    volumes = found(patterns(tmp_path, folds=2, on_bad_file="skip"))
    left = {c.name for c in [*volumes.sides.training, *volumes.sides.testing]}
    assert len(left) == 4
    assert [Path(name).stem for name in volumes.bad_files()] == ["001", "002"]
    everyone = patterns(tmp_path, folds=2, on_bad_file="skip")
    write("labels/001.nii", np.ones((12, 14, 16), np.uint8))
    before = {case.name for case in volumes.sides.testing}
    assert before <= {case.name for case in found(everyone).sides.testing}, "no other side"
    write("labels/001.nii", np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(DataError, match=r"data\.max_bad_share"):
        found(patterns(tmp_path, folds=2, on_bad_file="skip", max_bad_share=0.1))


def judged(data: LabelledData) -> dict[str, int]:
    volumes = found(data)
    counts = volumes.count_classes()
    check_classes(counts, sides=volumes.sides)
    return counts


def test_one_class_only(write_set, write: Write, tmp_path) -> None:
    write_set(4)
    for case in range(4):
        write(f"labels/{case:03d}.nii", np.zeros((12, 14, 16), np.uint8))
    with pytest.raises(DataError, match=r"2 training cases have one class alone \(background\)"):
        judged(patterns(tmp_path, folds=2))
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[4] = 1
    for case in range(4):
        write(f"labels/{case:03d}.nii", labels)
    with pytest.warns(DataWarning, match="no training case has the class 'back'"):
        counts = judged(patterns(tmp_path, folds=2))
    assert counts == {"background": 2, "front": 2, "back": 0}
    path = manifest(tmp_path, "image,find\n000,1\n001,1\n002,1\n003,1\n")
    data = LabelledData(images=f"{tmp_path}/images", manifest=path, folds=2)
    with pytest.raises(DataError, match="target 'find' is 1 in all 2 of the 2 training cases"):
        found(data, truth=FIND)


def test_ranks_read_a_part_of_the_label_maps(write_set, tmp_path) -> None:
    write_set(7)
    volumes = found(patterns(tmp_path, folds=2))
    whole = volumes.count_classes()
    parts = [volumes.count_classes(rank=rank, world=3) for rank in range(3)]
    assert {name: sum(part[name] for part in parts) for name in whole} == whole
    assert all(part != whole for part in parts)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_one_column_of_several_with_one_value_is_said(write_set, tmp_path, kind) -> None:
    """The others are learned; which has no AUROC is said by name, also where it is tested alone."""
    write_set(4)
    path = manifest(
        tmp_path,
        "image,find,same,once,fold\n000,1,1,0,0\n001,0,1,0,0\n002,1,1,1,1\n003,0,1,0,1\n",
    )
    data = LabelledData(images=f"{tmp_path}/images", manifest=path, folds=2, fold=0)
    with pytest.warns(DataWarning) as said:
        found(data, truth=Targets(("find", "same", "once"), kind=kind))
    words = [str(one.message) for one in said]
    number = {"class": "no AUROC", "number": "no R²"}[kind]
    assert any(
        "'same' is 1 in all 2 of the 2 training cases: nothing can be learned" in w for w in words
    )
    assert any("'once' has one value" in w and "for testing" in w and number in w for w in words)
    assert not any("'find'" in w for w in words)
    with pytest.raises(DataError, match="'same' is 1 in all 2 of the 2 training cases: give"):
        found(data, truth=Targets(("same",), kind=kind))


@pytest.mark.parametrize(
    ("classes", "cell", "want"),
    [
        (("no", "yes"), "yes", 1.0),
        (("no", "yes"), "0", 0.0),
        (("0", "1"), "1.0", 1.0),
        (("1", "0"), "1", 0.0),
        (("no", "yes"), "2", "'2' is no class: give one of no, yes (or 0 to 1)"),
        (("0", "1"), "2", "'2' is no class: give one of 0, 1, or"),
        (("0", "1"), "0.5", "no class"),
        # A number is the name of a class where one of these is a number, and never a place too.
        (("1", "2", "3"), "1.0", 0.0),
        (("1", "2", "3"), "3", 2.0),
        (("1", "2", "3"), "0", "'0' is no class: give one of 1, 2, 3, or nothing"),
        (("0", "1", "4"), "2", "'2' is no class: give one of 0, 1, 4, or nothing"),
        (("2", "1", "0"), "0.0", 2.0),
        (("1", "unclear"), "0", "'0' is no class: give one of 1, unclear, or nothing"),
        ((), "7", 7.0),
    ],
)
def test_a_class_is_a_name_or_a_number(classes, cell, want) -> None:
    truth = Targets(("kind",), classes=classes)
    if isinstance(want, float):
        assert truth.read(cell, where="line 2") == want
    else:
        with pytest.raises(ValueError, match=re.escape(want)):
            truth.read(cell, where="line 2")


def test_an_image_with_two_label_maps_is_no_two_cases(write_set, tmp_path: Path) -> None:
    """Cases are told apart by it in all that is measured; a link to it is another."""
    write_set(2)
    truth = LabelMap((0, 1, 2), ("background", "a", "b"))
    images = [f"{tmp_path}/images/00{case}.nii" for case in (0, 0, 1)]
    labels = [f"{tmp_path}/labels/00{case}.nii" for case in (0, 1, 1)]
    data = LabelledData(images=images, labels=labels)
    with pytest.raises(DataError, match=r"images/000.nii is the image of 2 cases: name it once"):
        find_cases(data, truth=truth)
    linked = tmp_path / "images/again.nii"
    linked.symlink_to(images[0])
    data = LabelledData(images=[images[0], str(linked)], labels=labels[:2], group_by="(.*)")
    cases, _ = find_cases(data, truth=truth)
    assert len({case.name for case in cases}) == 2


def test_labels_are_not_taken_for_images(write_set, tmp_path: Path) -> None:
    write_set(2)
    path = manifest(
        tmp_path,
        "image,find\nlabels/000.nii,1\nlabels/001.nii,0\nimages/000.nii,1\nimages/001.nii,0\n",
    )
    with pytest.warns(DataWarning, match="named like label maps"):
        found(LabelledData(manifest=path, folds=2), truth=FIND)


def test_the_listing_names_every_file(write_set, tmp_path: Path) -> None:
    write_set(4)
    volumes = found(patterns(tmp_path, folds=2))
    files = [file.path for s in volumes.listing.samples for file in s.files]
    assert sorted(files) == sorted(
        os.path.join(tmp_path, kind, f"{i:03d}.nii")
        for i in range(4)
        for kind in ("images", "labels")
    )
    assert len(volumes.listing.held_out) == 2


def test_groups_by_name(write_set, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    write_set(3)
    cases, _ = find_cases(patterns(tmp_path, group_by=r"(\d)\d\.nii"), truth=TISSUE)
    assert [case.group for case in cases] == ["0"] * 3
    (tmp_path / "groups.csv").write_text("name,group\n000,anna\n001,bert\n002,anna\n")
    data = patterns(tmp_path, group_file=f"{tmp_path}/groups.csv")
    cases, _ = find_cases(data, truth=TISSUE)
    assert [case.group for case in cases] == ["anna", "bert", "anna"]
    assert not [one for one in recwarn if one.category is DataWarning]


def test_a_file_has_one_row_whatever_it_is_called(write_set, tmp_path: Path) -> None:
    write_set(2)
    (tmp_path / "images/again.nii").hardlink_to(tmp_path / "images/000.nii")
    path = manifest(tmp_path, "image,find,group\nimages/000.nii,1,a\nimages/again.nii,0,b\n")
    with pytest.raises(DataError, match="in line 2 and line 3: name it once"):
        find_cases(LabelledData(manifest=path), truth=FIND)


def test_a_label_map_is_of_one_person(write_set, tmp_path: Path) -> None:
    write_set(2)
    text = "image,label,group\nimages/000.nii,labels/000.nii,a\nimages/001.nii,labels/000.nii,"
    cases, _ = find_cases(LabelledData(manifest=manifest(tmp_path, f"{text}a\n")), truth=TISSUE)
    assert len(cases) == 2
    with pytest.raises(DataError, match="of the groups 'a' and 'b': a person must be in one"):
        find_cases(LabelledData(manifest=manifest(tmp_path, f"{text}b\n")), truth=TISSUE)


def test_a_side_of_which_nothing_can_be_used(write_set, tmp_path: Path) -> None:
    write_set(6)
    data = patterns(tmp_path, folds=3, on_bad_file="skip")
    for case in found(data).sides.testing:
        case.image.files[0].write_bytes(b"none")
    with pytest.raises(DataError, match=r"none of the 2 cases for testing can be used:\n.*nii"):
        found(data)
