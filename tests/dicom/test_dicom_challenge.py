"""The tables of the aneurysm challenge with its own files: finds lie where they shine."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from multiframe import enhanced
from phantom import write_series

from ssl3d.data.files import find_sources
from ssl3d.data.read import read_source, target_grid
from ssl3d.data.spec import DataSpec

ROOT = Path(__file__).parents[2]
RSNA = runpy.run_path(str(ROOT / "examples" / "aneurysm" / "rsna.py"))
LOCATION = RSNA["LOCATIONS"][3]
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)


def write(path: str, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_finds_in_slices_and_in_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    voxels = np.zeros((6, 9, 8), np.int16)
    voxels[4, 2, 5] = 1000  # slice, row, column
    slices = write_series(tmp_path / "series" / "1.2.1", voxels=voxels, uid="1.2.1",
                          orientation=OBLIQUE)  # fmt: skip
    for path in list(slices.iterdir()):
        path.rename(path.with_name(f"{pydicom.dcmread(path).SOPInstanceUID}.dcm"))
    frames = enhanced(tmp_path / "series" / "1.2.2", voxels=voxels, uid="1.2.2")
    (file,) = frames.iterdir()
    whole = pydicom.dcmread(file).SOPInstanceUID
    file.rename(file.with_name(f"{whole}.dcm"))
    (bright,) = (path.stem for path in slices.iterdir() if pydicom.dcmread(path).pixel_array.any())
    labels = {**dict.fromkeys(RSNA["LABELS"], 0), LOCATION: 1, RSNA["PRESENT"]: 1}
    rest = {"Modality": "MRA", "PatientAge": 50, "PatientSex": "Male", **labels}
    write("train.csv", [{"SeriesInstanceUID": f"1.2.{i}", **rest} for i in (1, 2)])
    finds = [
        ("1.2.1", bright, {"x": 5.0, "y": 2.0}),
        ("1.2.2", whole, {"x": 5.0, "y": 2.0, "f": 4}),
    ]
    columns = ("SeriesInstanceUID", "SOPInstanceUID", "coordinates", "location")
    write("finds.csv", [dict(zip(columns, (*one, LOCATION), strict=True)) for one in finds])
    RSNA["main"](["train.csv", "finds.csv", "--volumes", "series", "--out", "tables"])
    with open("tables/points.csv", newline="") as points:
        rows = list(csv.DictReader(points))
    assert [row["image"] for row in rows] == ["1.2.1", "1.2.2"]
    sources = find_sources(DataSpec(volumes="series"))
    for row, source in zip(rows, sources, strict=True):
        lps = np.array([float(row[axis]) for axis in "xyz"])
        at = np.linalg.solve(target_grid(source).affine, [*(lps * [-1, -1, 1]), 1])[:3]
        volume, _ = read_source(source)
        assert tuple(np.round(at).astype(int)[::-1]) == np.unravel_index(
            int(volume[0].argmax()), volume[0].shape
        )
        assert np.abs(at - np.round(at)).max() < 1e-4
