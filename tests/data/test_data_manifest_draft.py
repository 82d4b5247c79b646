"""`ssl3d manifest`: a table of a folder that can be given as it is, and says what it lacks."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import Command
from run_batches import found

from ssl3d.data.files import find_sources
from ssl3d.data.labelled.find import find_cases
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import LabelMap
from ssl3d.data.spec import DataSpec

SHAPE = (8, 9, 10)
NAME, BIRTH = "Doe^Jane^Marker", "19010203"


@pytest.fixture
def bids(tmp_path: Path, write_nifti, noisy) -> Path:
    """Two subjects of two sessions, sidecars that say too much, a lesion map and other
    derivatives."""
    root = tmp_path / "ds"
    tissue = (noisy(SHAPE) > 200).astype(np.uint8)
    for subject in ("01", "02"):
        for session in ("1", "2"):
            where = f"ds/sub-{subject}/ses-{session}/anat"
            stem = f"sub-{subject}_ses-{session}"
            for number, kind in enumerate(("T1w", "FLAIR")):
                image = f"{where}/{stem}_{kind}.nii.gz"
                shape = SHAPE if kind == "T1w" else (7, 9, 10)
                write_nifti(image, noisy(shape, seed=number), spacing=(2.0, 1.5, 1.0))
                said = {"PatientName": NAME, "PatientBirthDate": BIRTH, "SequenceName": "tfl3d1"}
                (tmp_path / image.replace(".nii.gz", ".json")).write_text(json.dumps(said))
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    deep = "ds/derivatives/{}/sub-01/ses-1/anat/sub-01_ses-1_{}.nii.gz".format
    own = {"spacing": (2.0, 1.5, 1.0)}
    write_nifti(deep("manual", "space-T1w_label-lesion_dseg"), tissue, **own)
    write_nifti(deep("manual", "space-MNI_label-lesion_dseg"), tissue, **own)
    write_nifti(deep("prep", "desc-brain_mask"), tissue, **own)
    write_nifti(deep("prep", "desc-preproc_T1w"), noisy(SHAPE), **own)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_bids_tree_says_persons_visits_and_modalities(
    bids: Path, ssl3d: Command, tmp_path: Path
) -> None:
    out = tmp_path / "data.csv"
    done = ssl3d("manifest", bids, "--out", out)
    assert done.code == 0, done.err
    rows = rows_of(out)
    assert list(rows[0]) == [
        *("image", "group", "visit", "modality", "sequence", "label", "shape", "spacing")
    ]
    seen = [(row["group"], row["visit"], row["modality"]) for row in rows]
    assert seen == [
        (f"sub-{subject}", f"ses-{session}", kind)
        for subject in ("01", "02")
        for session in ("1", "2")
        for kind in ("FLAIR", "T1w")
    ]
    first = rows[1]
    assert first["image"] == "ds/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"
    assert first["label"].endswith("manual/sub-01/ses-1/anat/" + LESION)
    assert sum(bool(row["label"]) for row in rows) == 1, "no other has its name and grid"
    assert (first["shape"], first["spacing"], first["sequence"]) == ("8x9x10", "2x1.5x1", "tfl3d1")
    assert "data.csv: 8 volumes, 2 groups" in done.out
    assert "1 label maps are guesses by name and grid: look at them" in done.out
    assert "desc-preproc_T1w.nii.gz is left out: derivatives/ holds what was computed" in done.err
    assert "dseg.nii.gz is left out: it is a label map, of no image" in done.err
    assert "(and so for 1 more)" in done.err, "the brain's mask is no label map of its own"
    for text in (out.read_text(), done.out, done.err):
        assert NAME not in text
        assert BIRTH not in text


LESION = "sub-01_ses-1_space-T1w_label-lesion_dseg.nii.gz"


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.json", "ds/data.csv"])
def test_what_is_written_can_be_given(
    bids: Path, ssl3d: Command, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    assert ssl3d("manifest", bids, "--out", out).code == 0
    volumes = found(DataSpec(manifest=out, holdout=0.5))
    sides = [{one.group for one in side} for side in (volumes.train_files, volumes.held_out_files)]
    assert sorted(map(sorted, sides)) == [["sub-01"], ["sub-02"]]
    assert {one.modality for one in volumes.train_files} == {"T1w", "FLAIR"}
    one, *_ = find_sources(DataSpec(manifest=out, columns={"visit": "visit"}))
    assert one.visit == "ses-1"


def test_fine_tuning_reads_it_as_well(ssl3d: Command, tmp_path: Path, write_nifti, noisy) -> None:
    truth = LabelMap(values=(0, 1), names=("outside", "tissue"))
    for number in range(3):
        write_nifti(f"set/images/c{number}_0000.nii.gz", noisy(SHAPE, seed=number))
        write_nifti(f"set/labels/c{number}.nii.gz", (noisy(SHAPE) > 200).astype(np.uint8))
    out = tmp_path / "set.csv"
    done = ssl3d("manifest", tmp_path / "set", "--out", out)
    assert "Nobody says whose they are: each counts as a person of its own" in done.out
    with pytest.warns(UserWarning, match="each of 3 cases counts as a person"):
        cases, _ = find_cases(LabelledData(manifest=out), truth=truth)
    assert [case.label.name for case in cases] == [f"c{n}.nii.gz" for n in range(3)]
    assert len(found(DataSpec(manifest=out, holdout=0)).train_files) == 3


def test_what_is_left_out_or_assumed_is_said(
    bids: Path, ssl3d: Command, tmp_path: Path, write_nifti, noisy
) -> None:
    write_nifti("ds/other/scan.nii.gz", noisy(SHAPE))
    write_nifti("ds/other/flat.nii.gz", noisy((1, 9, 10)))
    write_nifti("ds/other/a_seg.nii.gz", np.eye(9, dtype=np.uint8)[None].repeat(8, 0))
    (bids / "other/broken.nii.gz").write_bytes(b"no gzip")
    for number in range(2):
        write_nifti(f"ds/other/scan_{'seg' if number else 'mask'}.nii.gz", np.ones(SHAPE, np.uint8))
    out = tmp_path / "data.csv"
    done = ssl3d("manifest", bids, "--out", out)
    assert "flat.nii.gz is left out: shape (10, 9, 1) is a 2D image" in done.err
    assert "broken.nii.gz is left out: " in done.err
    assert "scan.nii.gz may have several label maps: none is written, choose one" in done.err
    assert "1 volumes name no person: each is written as a group of its own" in done.out
    (row,) = [row for row in rows_of(out) if "other" in row["image"]]
    assert (row["group"], row["label"], row["modality"]) == ("ds/other/scan.nii.gz", "", "")
    assert len(found(DataSpec(manifest=out, holdout=0)).train_files) == 9


@pytest.mark.parametrize(
    ("images", "label", "kept", "said"),
    [
        (("d1/img/a", "d2/img/a"), "d1/lab_mask/a", ("d1/img/a",), "the nearest alone"),
        (("p1/a", "p2/a"), "labels/a", (), "for none, choose one"),
        (("img/a_0000", "img/a_0001"), "labels/a", ("img/a_0000", "img/a_0001"), ""),
    ],
)
def test_a_label_map_is_of_one_case(
    images: tuple[str, ...],
    label: str,
    kept: tuple[str, ...],
    said: str,
    ssl3d: Command,
    tmp_path: Path,
    write_nifti,
    noisy,
) -> None:
    for number, image in enumerate(images):
        write_nifti(f"set/{image}.nii.gz", noisy(SHAPE, seed=number))
    write_nifti(f"set/{label}.nii.gz", (noisy(SHAPE) > 200).astype(np.uint8))
    done = ssl3d("manifest", tmp_path / "set", "--out", tmp_path / "x.csv")
    labelled = {row["image"] for row in rows_of(tmp_path / "x.csv") if row["label"]}
    assert labelled == {f"set/{image}.nii.gz" for image in kept}
    words = f"{label}.nii.gz may be of images in several folders: it is written for"
    assert (words in done.err) == bool(said)
    assert said in done.err


def test_a_file_is_written_over_only_when_asked(bids: Path, ssl3d: Command, tmp_path: Path) -> None:
    out = tmp_path / "data.csv"
    out.write_text("mine")
    done = ssl3d("manifest", bids, "--out", out)
    assert (done.code, out.read_text()) == (2, "mine")
    assert "data.csv is there already: give --force to write over it" in done.err
    assert ssl3d("manifest", bids, "--out", out, "--force").code == 0
    assert len(rows_of(out)) == 8
    done = ssl3d("manifest", bids, "--out", tmp_path / "data.txt")
    assert (done.code, "must end in .csv, .tsv or .json" in done.err) == (2, True)
    done = ssl3d("manifest", tmp_path / "nowhere", "--out", tmp_path / "a.csv")
    assert (done.code, "nowhere is no folder" in done.err) == (2, True)
    os.makedirs(tmp_path / "empty")
    assert ssl3d("manifest", tmp_path / "empty", "--out", tmp_path / "a.csv").code == 2
    assert not (tmp_path / "a.csv").exists()


def test_subjects_of_several_data_sets_may_be_called_alike(
    ssl3d: Command, tmp_path: Path, write_nifti, noisy
) -> None:
    for site in "ab":
        write_nifti(f"all/{site}/sub-1/anat/sub-1_T1w.nii.gz", noisy(SHAPE))
    assert ssl3d("manifest", tmp_path / "all", "--out", tmp_path / "x.csv").code == 0
    assert [row["group"] for row in rows_of(tmp_path / "x.csv")] == ["a/sub-1", "b/sub-1"]
