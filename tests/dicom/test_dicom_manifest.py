"""`ssl3d manifest` on series: persons, visits and sequences by their headers, and no names."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from phantom import BIRTH, NAME
from pydicom.dataset import Dataset

from ssl3d.data.files import find_sources
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes

Series = Callable[..., Path]


def of_study(study: str, **more: object) -> Callable[[int, Dataset], None]:
    def change(number: int, file: Dataset) -> None:  # noqa: ARG001
        file.StudyInstanceUID = study
        file.SeriesDescription = f"scan of {NAME}"
        for name, value in more.items():
            setattr(file, name, value)

    return change


@pytest.fixture
def hospital(series: Series) -> Path:
    folder = series("set/a", uid="1.2.1", patient="P1", change=of_study("1.9.1")).parent
    magnetic = {"Modality": "MR", "SequenceName": "*tfl3d1"}
    series("set/b", uid="1.2.2", patient="P1", change=of_study("1.9.2", **magnetic))
    kinds = {"Modality": "MR", "ScanningSequence": ["SE", "IR"]}
    series("set/c", uid="1.2.3", patient="P2", change=of_study("1.9.3", **kinds))
    scout = of_study("1.9.1", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series("set/scout", uid="1.2.9", patient="P1", change=scout)
    return folder


def test_series_by_their_headers(hospital: Path, ssl3d: Command, tmp_path: Path) -> None:
    out = tmp_path / "data.csv"
    done = ssl3d("manifest", hospital, "--out", out)
    assert done.code == 0, done.err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    seen = [[row[c] for c in ("image", "group", "visit", "modality", "sequence")] for row in rows]
    assert seen == [
        ["set/a/1.2.1.dcm", "P1", "1.9.1", "CT", ""],
        ["set/b/1.2.2.dcm", "P1", "1.9.2", "MR", "*tfl3d1"],
        ["set/c/1.2.3.dcm", "P2", "1.9.3", "MR", "SE+IR"],
    ]
    assert (rows[0]["shape"], rows[0]["spacing"]) == ("6x5x4", "2x0.5x0.8")
    assert "1.2.9.dcm is left out: it is a localiser" in done.err
    kept = [path.read_text() for path in (tmp_path / "cache").rglob("*.json")]
    assert kept, "headers are kept between runs"
    for text in (out.read_text(), done.out, done.err, *kept):
        assert "Marker" not in text
        assert BIRTH not in text
    volumes = RunVolumes(DataSpec(manifest=out, holdout=0.5))
    volumes.find()
    sides = (volumes.listing.training, volumes.listing.held_out)
    assert sorted(sorted({one.group for one in side}) for side in sides) == [["P1"], ["P2"]]


@pytest.mark.parametrize("called", ["set/a", "set/a/1.2.1.dcm", "set/a/IM0007.dcm"])
def test_a_series_is_named_by_folder_uid_or_file(hospital: Path, called: str) -> None:
    table = hospital.parent / "own.csv"
    table.write_text(f"image,modality\n{called},\n")
    (one,) = find_sources(DataSpec(manifest=table))
    assert one.files == (hospital / "a" / "1.2.1.dcm",)
    table.write_text("image\nset/a\nset/a/IM0007.dcm\n")
    with pytest.raises(ValueError, match=r"names .*1.2.1.dcm' in line 2 and in line 3: name it"):
        find_sources(DataSpec(manifest=table))
    table.write_text("image\nset\n")
    with pytest.raises(ValueError, match=r"in line 2: .* holds 3 DICOM series"):
        find_sources(DataSpec(manifest=table))
