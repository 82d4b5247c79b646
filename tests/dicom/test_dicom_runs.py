"""From series folders to an encoder, to a classifier of series, and to predictions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from command import Command
from phantom import place, write_series

BACKBONE = {"name": "resunet", "widths": [4, 8], "blocks": [1, 1], "strides": [2, 2]}
TRAINER = {"steps": 2, "accelerator": "cpu", "loggers": [], "pictures": 0}


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight series of four persons, each in a folder of its UID, and one localiser."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(8):
        voxels = rng.normal(size=(16, 18, 20)).cumsum(0).cumsum(1) * 40 + 1000
        write_series(
            tmp_path / "series" / f"1.2.{number}",
            voxels=voxels.clip(0, 4000).astype(np.int16),
            uid=f"1.2.{number}",
            patient=f"P{number // 2}",
            spacing=(1.5, 1.25),
        )

    def localiser(number: int, file: object) -> None:  # noqa: ARG001
        file.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]  # type: ignore[attr-defined]

    write_series(tmp_path / "series" / "scout", uid="1.2.99", change=localiser)
    return tmp_path


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pretrain(ssl3d: Command, folder: Path) -> None:
    data = {"volumes": "series", "patch": 16, "workers": 2, "holdout": 0.25}
    data["cache"] = {"folder": str(folder / "volumes")}  # type: ignore[assignment]
    spec = {"backbone": BACKBONE, "data": data, "trainer": {**TRAINER, "validate_every": 2}}
    Path("pretrain.yaml").write_text(yaml.safe_dump(spec))
    done = ssl3d("pretrain", "pretrain.yaml", "--out", "pre")
    assert done.code == 0, done.err
    assert "1.2.99.dcm is left out: it is a localiser" in done.out + done.err


def test_pretrain_and_resume_on_series(hospital: Path, ssl3d: Command) -> None:
    pretrain(ssl3d, hospital)
    listing = json.loads((hospital / "pre" / "data.json").read_text())
    sides = {
        side: {(one["group"], Path(one["files"][0]["path"]).name) for one in listing[side]}
        for side in ("training", "held_out")
    }
    assert {len(side) for side in sides.values()} == {2, 6}
    groups = [{group for group, _ in side} for side in sides.values()]
    assert groups[0].isdisjoint(groups[1])
    assert set.union(*groups) == {"P0", "P1", "P2", "P3"}
    done = ssl3d("resume", "pre", "--set", "trainer.steps=3")
    assert done.code == 0, done.err
    write_series(hospital / "series" / "new", uid="1.2.50", patient="P9")
    done = ssl3d("resume", "pre", "--set", "trainer.steps=4")
    assert (done.code, "1.2.50.dcm" in done.err) == (2, True)
    written = [path.read_bytes() for path in (hospital / "pre").rglob("*") if path.is_file()]
    assert written
    assert not any(b"Marker" in content or b"19010203" in content for content in written)


def test_classify_series_by_uid_and_predict_others(hospital: Path, ssl3d: Command) -> None:
    """A manifest in the data's own form: series by their folders, labels by columns."""
    pretrain(ssl3d, hospital)
    with open("labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "aneurysm"])
        table.writerows([f"series/1.2.{number}", number % 2] for number in range(8))
    spec = {
        "encoder": "pre",
        "task": {"name": "classification", "labels": ["aneurysm"]},
        "data": {"manifest": "labels.csv", "folds": 2, "workers": 0},
        "trainer": TRAINER,
    }
    Path("tune.yaml").write_text(yaml.safe_dump(spec))
    done = ssl3d("finetune", "tune.yaml", "--out", "tuned")
    assert done.code == 0, done.err
    assert "no grouping is given" not in done.out + done.err
    cases = rows_of("tuned/test/cases.csv")
    assert len(cases) == 4  # two persons
    done = ssl3d("predict", "tuned", "series", "--out", "predicted")
    assert done.code == 0, done.err
    rows = rows_of("predicted/predictions.csv")
    assert [Path(row["case"]).name.removesuffix(".dcm") for row in rows] == [
        f"1.2.{number}" for number in range(8)
    ]


def test_label_maps_of_series_and_predictions_in_their_place(
    hospital: Path, ssl3d: Command
) -> None:
    """Images are DICOM, labels NIfTI as tools write them; predictions lie where the slices lie."""
    import pydicom

    pretrain(ssl3d, hospital)
    Path("labels").mkdir()
    rows = [["image", "label"]]
    for number in range(8):
        slices = [pydicom.dcmread(path) for path in Path(f"series/1.2.{number}").iterdir()]
        slices.sort(key=lambda file: file.ImagePositionPatient[2])
        voxels = np.stack([file.pixel_array.T for file in slices], axis=2)
        at = place(slices[0], row=0, column=0)
        affine = np.eye(4)
        affine[:3, 0] = place(slices[0], row=0, column=1) - at
        affine[:3, 1] = place(slices[0], row=1, column=0) - at
        affine[:3, 2] = place(slices[1], row=0, column=0) - at
        affine[:3, 3] = at
        image = nibabel.Nifti1Image((voxels > 1000).astype(np.uint8), affine)
        nibabel.save(image, f"labels/{number}.nii.gz")
        rows.append([f"series/1.2.{number}", f"labels/{number}.nii.gz"])
    with open("labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    spec = {
        "encoder": "pre",
        "task": {"name": "segmentation", "labels": {"bright": 1}},
        "data": {"manifest": "labels.csv", "folds": 4, "workers": 0},
        "trainer": TRAINER,
    }
    Path("tune.yaml").write_text(yaml.safe_dump(spec))
    done = ssl3d("finetune", "tune.yaml", "--out", "tuned")
    assert done.code == 0, done.err
    done = ssl3d("predict", "tuned", "series/1.2.3", "--out", "predicted")
    assert done.code == 0, done.err
    (written,) = Path("predicted").rglob("*.nii.gz")
    got, label = nibabel.load(written), nibabel.load("labels/3.nii.gz")
    assert got.shape == label.shape
    assert np.allclose(got.affine, label.affine, atol=1e-4)
