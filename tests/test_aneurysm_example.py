"""The aneurysm examples, on volumes and tables made up here: converted, trained, measured."""

from __future__ import annotations

import csv
import json
import math
import runpy
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from command import Command

import ssl3d
from ssl3d import ExperimentSpec, FinetuneSpec

EXAMPLES = Path(__file__).parents[1] / "examples"
RSNA = runpy.run_path(str(EXAMPLES / "aneurysm" / "rsna.py"))
VESSELS = runpy.run_path(str(EXAMPLES / "vesselmnist3d" / "convert.py"))
PRESENT, LOCATIONS = RSNA["PRESENT"], RSNA["LOCATIONS"]
NAME = "1.2.826.0.1.{}"
SHAPE, SPACING, CORNER = (30, 26, 24), (0.5, 0.75, 1.5), (-40.0, 12.0, 7.0)  # x, y, z
SMALL = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1]}
SHALLOW = {"widths": [4, 8], "blocks": [1, 1], "strides": [2, 2]}
TRAINER = {"steps": 2, "accelerator": "cpu", "loggers": [], "pictures": 0}


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def challenge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 series as a DICOM reader would see them: x to the left, y to the back (LPS).

    Each second has a bright find in each location but one, so that no part lacks any of them. The
    last has no volume.
    """
    series: list[dict[str, Any]] = []
    finds: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    (tmp_path / "volumes").mkdir()
    affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1])
    affine[:3, 3] = [-CORNER[0], -CORNER[1], CORNER[2]]
    for number in range(24):
        rng = np.random.default_rng(number)
        voxels = rng.normal(100, 10, SHAPE).astype(np.float32)
        labels = dict.fromkeys(RSNA["LABELS"], 0)
        for k in range(SHAPE[2]):
            slices.append(
                {
                    "SOPInstanceUID": f"{number}.{k}",
                    "ImagePositionPatient": rf"-40.0\1.2e1\{CORNER[2] + k * SPACING[2]}",
                    "ImageOrientationPatient": "[1, 0, 0, 0, 1, 0]",
                    "PixelSpacing": r"0.75\0.5",  # between rows, between columns
                }
            )
        for i, location in enumerate(LOCATIONS):
            if number % 2 == 0 or i == number % 13:
                continue
            x, y, z = 4 + 6 * (i % 4), 4 + 6 * (i // 4), int(rng.integers(5, SHAPE[2] - 5))
            voxels[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] += 500
            labels |= {location: 1, PRESENT: 1}
            finds.append(
                {
                    "SeriesInstanceUID": NAME.format(number),
                    "SOPInstanceUID": f"{number}.{z}",
                    "coordinates": f"{{'x': {x}.0, 'y': {y}.0}}",
                    "location": location,
                }
            )
        row = {"SeriesInstanceUID": NAME.format(number), "PatientAge": 40 + number}
        series.append({**row, "PatientSex": "Female", "Modality": "CTA", **labels})
        if number < 23:
            image = nibabel.Nifti1Image(voxels, affine)
            nibabel.save(image, tmp_path / "volumes" / f"{NAME.format(number)}.nii.gz")
    for name, rows in (("train", series), ("finds", finds), ("slices", slices)):
        write(tmp_path / f"{name}.csv", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def convert(*more: str) -> None:
    RSNA["main"](["train.csv", "finds.csv", "--volumes", "volumes", "--out", "tables", *more])


@pytest.mark.filterwarnings("ignore::ssl3d.data.data_error.DataWarning")
def test_from_the_challenges_tables_to_a_number_for_each_location(
    challenge: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert("--slices", "slices.csv")
    said = capsys.readouterr().out
    assert "23 of 24 series have a volume" in said
    assert "132 finds have a place" in said
    assert len(rows_of(challenge / "tables" / "manifest.csv")) == 23

    spec = ExperimentSpec.load(EXAMPLES / "aneurysm" / "pretrain.yaml")
    small = {"backbone": SMALL, "data.patch": 16, "data.spacing": None, "data.workers": 0}
    small["data.volumes"] = "volumes"
    ran = {f"trainer.{name}": value for name, value in {**TRAINER, "precision": "32"}.items()}
    ssl3d.pretrain(spec.with_values({**small, **ran}), out=challenge / "runs" / "angiography")

    tuned = FinetuneSpec.load(EXAMPLES / "aneurysm" / "finetune.yaml")
    assert tuned.task.columns() == RSNA["LABELS"]
    few = {"data.folds": 2, "data.crops": 2, "data.evaluation_crops": 2, "data.workers": 0}
    result = ssl3d.finetune(tuned.with_values({**few, **ran}), out=challenge / "runs" / "tuned")
    numbers = {
        row["number"]: row["value"]
        for row in rows_of(challenge / "runs" / "tuned" / "test" / "metrics.csv")
    }
    each = {name: float(numbers[f"auroc/{name}"]) for name in RSNA["LABELS"]}
    assert len(each) == 14
    assert all(0 <= value <= 1 for value in each.values())
    weighed = (sum(each[name] for name in LOCATIONS) + 13 * each[PRESENT]) / 26
    assert float(numbers["auroc"]) == pytest.approx(weighed, abs=1e-6)
    assert result.finished


def test_a_find_is_where_the_volume_is_bright(challenge: Path) -> None:
    """Through DICOM's millimetres, by another reader of the volume."""
    convert("--slices", "slices.csv")
    points = rows_of(challenge / "tables" / "points.csv")
    assert len(points) == 132
    for point in points:
        image = nibabel.load(challenge / "volumes" / f"{point['image']}.nii.gz")
        lps = np.array([float(point[axis]) for axis in "xyz"])
        index = np.linalg.solve(image.affine, [*(lps * [-1, -1, 1]), 1])[:3]
        assert np.allclose(index, np.rint(index), atol=1e-4)
        assert image.get_fdata()[tuple(np.rint(index).astype(int))] > 400
        own = [name for name in RSNA["LABELS"] if point[name] == "1"]
        assert len(own) == 2
        assert PRESENT in own


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("SOPInstanceUID", "9.9.9"),
        ("coordinates", '{"x": 3, "y": 4, "f": 2}'),
        ("location", LOCATIONS[1]),
    ],
    ids=["an unknown slice", "a frame", "another location"],
)
def test_a_series_with_a_find_without_a_place_gets_no_points(
    challenge: Path, capsys: pytest.CaptureFixture[str], column: str, value: str
) -> None:
    finds = rows_of(challenge / "finds.csv")
    finds[0][column] = value  # of series 1, whose find is left
    write(challenge / "finds.csv", finds)
    convert("--slices", "slices.csv")
    points = rows_of(challenge / "tables" / "points.csv")
    assert {point["image"] for point in points} == {NAME.format(n) for n in range(3, 23, 2)}
    said = capsys.readouterr().out
    assert "1 series get no points" in said
    assert NAME.format(1) in said


def test_without_slices_labels_of_whole_series_are_left(
    challenge: Path, capsys: pytest.CaptureFixture[str], ssl3d: Command
) -> None:
    convert()
    assert "no find has a place, no points.csv" in capsys.readouterr().out
    assert not (challenge / "tables" / "points.csv").exists()
    spec = EXAMPLES / "aneurysm" / "finetune.yaml"
    small = [f"--set=backbone={json.dumps(SMALL)}", "--set=encoder=null"]
    small += ["--set=patch=16", "--set=recipe=scratch"]
    small += ["--set=trainer.precision=32"]
    refused = ssl3d("finetune", spec, "--dry-run", *small)
    assert refused.code == 2
    assert "points.csv" in refused.err
    done = ssl3d("finetune", spec, "--dry-run", "--set=data.points=null", *small)
    assert done.code == 0, done.err


def test_tables_of_another_form_are_one_message(challenge: Path) -> None:
    (challenge / "none").mkdir()
    with pytest.raises(SystemExit, match="none has no volume"):
        RSNA["main"](["train.csv", "finds.csv", "--volumes", "none", "--out", "tables"])
    with pytest.raises(SystemExit, match=r"no column .*'coordinates'"):
        RSNA["main"](["train.csv", "train.csv", "--volumes", "volumes", "--out", "tables"])
    with pytest.raises(SystemExit, match=r"nowhere.csv is no file"):
        RSNA["main"](["nowhere.csv", "finds.csv", "--volumes", "volumes", "--out", "tables"])
    train = rows_of(challenge / "train.csv")
    write(challenge / "train.csv", [{**train[0], PRESENT: ""}, *train[1:]])
    with pytest.raises(SystemExit, match=rf"{PRESENT} is '', and is 0 or 1"):
        convert()
    write(challenge / "train.csv", train)
    finds = rows_of(challenge / "finds.csv")
    for text in ("", "{'x': 3.0}", "[1, 2]", "{'x': 'a', 'y': 1}"):
        write(challenge / "finds.csv", [{**finds[0], "coordinates": text}, *finds[1:]])
        with pytest.raises(SystemExit, match=r"has the coordinates .*: the form is"):
            convert()
    finds[0]["location"] = "Elsewhere"
    write(challenge / "finds.csv", finds)
    with pytest.raises(SystemExit, match="'Elsewhere', which is none"):
        convert()


def test_the_spec_flips_nothing_from_left_to_right() -> None:
    spec = FinetuneSpec.load(EXAMPLES / "aneurysm" / "finetune.yaml")
    assert spec.augment.flips == (True, True, False)
    assert FinetuneSpec.from_yaml(spec.to_yaml()) == spec


@pytest.fixture
def vessels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as MedMNIST's: ten, four and three made-up tubes, each second with a bulge."""
    content = {}
    for split, count in {"train": 10, "val": 4, "test": 3}.items():
        volumes = np.zeros((count, 28, 28, 28), np.uint8)
        labels = (np.arange(count) % 2)[:, None].astype(np.uint8)
        for number in range(count):
            volumes[number, :, 11 + number % 5 : 15 + number % 5, 12:16] = 255
            if labels[number]:
                volumes[number, 8:18, 8:20, 8:20] = 255
        content |= {f"{split}_images": volumes, f"{split}_labels": labels}
    np.savez(tmp_path / "vesselmnist3d.npz", **content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.filterwarnings("ignore::ssl3d.data.data_error.DataWarning")
def test_five_folds_over_the_shapes(
    vessels: Path, capsys: pytest.CaptureFixture[str], ssl3d: Command
) -> None:
    VESSELS["main"](["vesselmnist3d.npz", "--out", "vessels"])
    said = capsys.readouterr().out
    assert "manifest.csv: 14 shapes, 7 with an aneurysm" in said
    assert "test.csv: 3 shapes, 1 with an aneurysm" in said
    with np.load("vesselmnist3d.npz") as content:
        image = nibabel.load("vessels/images/val_0003.nii.gz")
        assert np.array_equal(np.asarray(image.dataobj), content["val_images"][3])

    folder = EXAMPLES / "vesselmnist3d"
    values = {**TRAINER, "loggers": "[]", "steps": 2}
    sets = [f"--set=trainer.{name}={value}" for name, value in values.items()]
    sets += [f"--set=backbone.{k}={v}" for k, v in SHALLOW.items()]
    done = ssl3d("finetune", folder / "folds.yaml", "--out", "runs/vessels", "--fold", "all", *sets)
    assert done.code == 0, done.err
    tested = []
    for fold in range(5):
        test = vessels / "runs" / "vessels" / f"fold-{fold}" / "test"
        tested += [row["case"] for row in rows_of(test / "cases.csv")]
        (auroc,) = (r for r in rows_of(test / "metrics.csv") if r["number"] == "auroc/aneurysm")
        assert math.isnan(float(auroc["value"] or "nan")) or 0 <= float(auroc["value"]) <= 1
    assert len(set(tested)) == len(tested) == 14
    done = ssl3d("evaluate", "runs/vessels/fold-0", "--data", folder / "test.yaml", "--out", "new")
    assert done.code == 0, done.err
    assert len(rows_of(vessels / "new" / "cases.csv")) == 3
    assert (vessels / "new" / "metrics.csv").is_file()


def test_a_file_that_is_none_of_medmnist_is_one_message(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros(3))
    with pytest.raises(SystemExit, match="no split of MedMNIST"):
        VESSELS["main"]([str(tmp_path / "a.npz"), "--out", str(tmp_path / "out")])
