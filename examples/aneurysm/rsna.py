"""The tables of RSNA 2025's intracranial aneurysm challenge, as ssl3d reads labelled volumes.

    python rsna.py train.csv train_localizers.csv --volumes volumes --slices slices.csv --out tables

Writes `manifest.csv`, a row for each series that has a volume, and with `--slices` `points.csv`, a
row for each find, in mm (`points_in: lps`). It needs no ssl3d and reads no DICOM: see the README.
"""

from __future__ import annotations

import argparse
import ast
import csv
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

SERIES, SLICE, PRESENT = "SeriesInstanceUID", "SOPInstanceUID", "Aneurysm Present"
LOCATIONS = (
    "Left Infraclinoid Internal Carotid Artery",
    "Right Infraclinoid Internal Carotid Artery",
    "Left Supraclinoid Internal Carotid Artery",
    "Right Supraclinoid Internal Carotid Artery",
    "Left Middle Cerebral Artery",
    "Right Middle Cerebral Artery",
    "Anterior Communicating Artery",
    "Left Anterior Cerebral Artery",
    "Right Anterior Cerebral Artery",
    "Left Posterior Communicating Artery",
    "Right Posterior Communicating Artery",
    "Basilar Tip",
    "Other Posterior Circulation",
)
LABELS = (*LOCATIONS, PRESENT)
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
Row = dict[str, str]
Place = tuple[float, float, float]


def read(path: Path, *, needed: Sequence[str]) -> list[Row]:
    """Rows of a CSV.

    Raises:
        SystemExit: a column is not there.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        lacking = [name for name in needed if name not in (table.fieldnames or ())]
        if lacking:
            raise SystemExit(f"{path} has no column {', '.join(map(repr, lacking))}")
        return list(table)


def write(path: Path, rows: Iterable[dict[str, object]], *, columns: Sequence[str]) -> None:
    """A CSV with these columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def place_of(find: Row, *, slices: dict[str, Row]) -> Place | None:
    """Where a find is, in mm of the patient as DICOM has them; none: nothing says so.

    `coordinates` are column and row in one slice (DICOM PS3.3 C.7.6.2.1.1). Those with a frame
    `f` are of a file of many slices, whose places are not in its header's first level.
    """
    at = ast.literal_eval(find["coordinates"])
    geometry = slices.get(find[SLICE])
    if geometry is None or "f" in at:
        return None
    position, orientation, spacing = (
        [float(one) for one in re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", geometry[name])]
        for name in GEOMETRY
    )
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
        raise SystemExit(f"{', '.join(GEOMETRY)} of slice {find[SLICE]} are not 3, 6, 2 numbers")
    along_row, along_column = at["x"] * spacing[1], at["y"] * spacing[0]
    x, y, z = (
        position[i] + along_row * orientation[i] + along_column * orientation[3 + i]
        for i in range(3)
    )
    return x, y, z


def manifest_of(series: list[Row], *, volumes: Path, out: Path) -> list[dict[str, object]]:
    """A row for each series that has a volume; the others are said."""
    rows: list[dict[str, object]] = []
    for one in series:
        file = volumes / f"{one[SERIES]}.nii.gz"
        if file.is_file():
            image = Path(os.path.relpath(file, out)).as_posix()
            stratum = f"{one['Modality']}, {one[PRESENT]}"
            rows.append({**one, "image": image, "stratum": stratum})
    if not rows:
        raise SystemExit(f"{volumes} has no volume of any series: the form is {SERIES}.nii.gz")
    print(f"{len(rows)} of {len(series)} series have a volume; the others are left out")
    return rows


def points_of(
    manifest: list[dict[str, object]], *, finds: list[Row], slices: dict[str, Row]
) -> list[dict[str, object]]:
    """A row for each find of those series all of whose finds have a place.

    A crop that shows a find without a place would be taught that there is none. So such a series
    gets no points, and its crops have the labels of the whole series.
    """
    points: list[dict[str, object]] = []
    without = []
    for row in manifest:
        own = [find for find in finds if find[SERIES] == row[SERIES]]
        places = [place_of(find, slices=slices) for find in own]
        there = {location for location in LOCATIONS if float(str(row[location])) > 0}
        if None in places or {find["location"] for find in own} != there:
            without.append(str(row[SERIES]))
            continue
        for find, place in zip(own, places, strict=True):
            assert place is not None
            labels = {name: int(name in (find["location"], PRESENT)) for name in LABELS}
            points.append({"image": row[SERIES], **dict(zip("xyz", place, strict=True)), **labels})
    print(f"{len(points)} finds have a place")
    if without:
        print(
            f"{len(without)} series get no points: a slice is unknown, a file has many frames, or "
            f"the finds are not of the locations that the series has; such as {without[0]}"
        )
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("series", type=Path, help="train.csv")
    parser.add_argument("finds", type=Path, help="train_localizers.csv")
    parser.add_argument("--volumes", type=Path, required=True, help=f"folder of {SERIES}.nii.gz")
    parser.add_argument("--slices", type=Path, help=f"CSV of {SLICE}, {', '.join(GEOMETRY)}")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    given = parser.parse_args(arguments)
    series = read(given.series, needed=(SERIES, "Modality", *LABELS))
    finds = read(given.finds, needed=(SERIES, SLICE, "coordinates", "location"))
    unknown = sorted({find["location"] for find in finds} - set(LOCATIONS))
    if unknown:
        raise SystemExit(f"{given.finds} has the location {unknown[0]!r}, which is none of RSNA's")
    given.out.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(series, volumes=given.volumes, out=given.out)
    columns = ["image", SERIES, "PatientAge", "PatientSex", "Modality", "stratum", *LABELS]
    write(given.out / "manifest.csv", manifest, columns=columns)
    if given.slices is None:
        print(f"no --slices: {len(finds)} finds have no place in a volume, no points.csv")
        return
    slices = {row[SLICE]: row for row in read(given.slices, needed=(SLICE, *GEOMETRY))}
    points = points_of(manifest, finds=finds, slices=slices)
    if not points:
        raise SystemExit("no find has a place: is --slices of these series?")
    write(given.out / "points.csv", points, columns=["image", *"xyz", *LABELS])


if __name__ == "__main__":
    main()
