"""A look at what a manifest names, as a run reads it: what is suggested can be run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from made import nifti, noise

from ssl3d.data import DataWarning
from ssl3d.tasks.inspect.given import data_of

ROWS = [("a.nii", "CT"), ("b.nii", "T1w"), ("c.nii", "CT"), ("d.nii", "")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images, two of them CT as a manifest says; nothing of their values does."""
    for number, (name, _) in enumerate(ROWS):
        nifti(Path("set") / name, noise((40, 40, 40), seed=number))
    text = "\n".join(["image,modality", *(",".join(row) for row in ROWS)])
    Path("set/m.csv").write_text(text)
    rows = [{"image": name, "modality": modality} for name, modality in ROWS]
    Path("set/m.json").write_text("\n " + json.dumps(rows), encoding="utf-8-sig")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("table", ["set/m.csv", "set/m.json"])
def test_manifests_are_taken_and_modalities_are_theirs(ssl3d: Command, table: str) -> None:
    done = ssl3d("inspect", table, "--json", "all.json", "--workers", "0")
    assert done.code == 0, done.err
    content = json.loads(Path("all.json").read_text())
    assert content["sorts"]["modality"] == {"CT": 2, "T1w": 1, "not known": 1}
    suggested = content["suggestion"]
    assert suggested["data"]["manifest"] == table
    assert suggested["data"]["normalise_by_modality"] == {
        "CT": {"name": "ct_window", "lower": -1000, "upper": 1000}
    }
    assert "2 of 4 images are said to be CT" in suggested["reasons"]["normalise_by_modality"]
    assert suggested["data"]["normalise"] == "percentile"
    Path("run.yaml").write_text(suggested["yaml"])
    with pytest.warns(DataWarning, match="2 of 4 volumes are of T1w and an unknown one"):
        again = ssl3d("pretrain", "run.yaml", "--dry-run")
    assert again.code == 0, again.err


@pytest.mark.usefixtures("folder")
def test_rows_are_deleted_and_not_excluded(ssl3d: Command) -> None:
    nifti(Path("set/a_seg.nii"), noise((40, 40, 40)) % 3)
    nifti(Path("set/copy.nii"), noise((40, 40, 40), seed=1))
    with Path("set/m.csv").open("a") as file:
        file.write("\na_seg.nii,\ncopy.nii,T1w\n")
    done = ssl3d("inspect", "set/m.csv", "--json", "all.json", "--workers", "0")
    suggested = json.loads(Path("all.json").read_text())["suggestion"]
    assert "exclude" not in suggested["data"]
    text = " ".join(done.out.replace("#", " ").split())
    assert "delete their rows of the manifest: set/a_seg.nii, set/copy.nii" in text
    Path("run.yaml").write_text(suggested["yaml"])
    assert ssl3d("pretrain", "run.yaml", "--dry-run").code == 0


@pytest.mark.usefixtures("folder")
def test_modalities_of_a_spec_and_its_own_normalisation_stay(ssl3d: Command) -> None:
    Path("spec.yaml").write_text(
        "data: {volumes: set, modality_by: '([a-d]).nii', normalise_by_modality: {a: zscore}}"
    )
    done = ssl3d("inspect", "spec.yaml", "--json", "all.json", "--workers", "0")
    assert done.code == 0, done.err
    content = json.loads(Path("all.json").read_text())
    assert content["sorts"]["modality"] == dict.fromkeys("abcd", 1)
    assert content["suggestion"]["data"]["normalise_by_modality"] == {"a": {"name": "zscore"}}


def test_a_manifest_goes_alone() -> None:
    with pytest.raises(ValueError, match=r"m\.csv is a spec or a manifest: give it alone"):
        data_of(["folder", "m.csv"])
