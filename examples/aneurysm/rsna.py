"""The tables of RSNA 2025's intracranial aneurysm challenge, as ssl3d reads labelled volumes.

    python rsna.py train.csv train_localizers.csv --volumes series --out tables

Writes `manifest.csv`, a row for each series that has a volume, and `points.csv`, a row for each
find, in mm (`points_in: lps`). Where a find lies is read from the DICOM header of its slice, or,
for series that were converted, from `--slices`: see the README.
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
Geometry = tuple[Sequence[float], Sequence[float], Sequence[float]]


def read(path: Path, *, needed: Sequence[str]) -> list[Row]:
    """Rows of a CSV.

    Raises:
        SystemExit: it, or a column, is not there.
    """
    if not path.is_file():
        raise SystemExit(f"{path} is no file")
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


def place_of(find: Row, *, volumes: Path, slices: dict[str, Row]) -> Place | None:
    """Where a find is, in mm of the patient as DICOM has them; none: nothing says so.

    `coordinates` are column and row in one slice (DICOM PS3.3 C.7.6.2.1.1), and in a file of many
    slices the number of the slice, `f`.
    """
    at = coordinates_of(find)
    file = volumes / find[SERIES] / f"{find[SLICE]}.dcm"
    if find[SLICE] in slices and "f" not in at:
        geometry = of_table(find[SLICE], slices[find[SLICE]])
    elif file.is_file():
        geometry = of_header(file, frame=int(at.get("f", 0)))
    else:
        return None
    position, orientation, spacing = geometry
    along_row, along_column = at["x"] * spacing[1], at["y"] * spacing[0]
    x, y, z = (
        position[i] + along_row * orientation[i] + along_column * orientation[3 + i]
        for i in range(3)
    )
    return x, y, z


def coordinates_of(find: Row) -> dict[str, float]:
    """`x` and `y`, of files of many slices `f` as well."""
    text = find["coordinates"]
    try:
        at = {name: float(value) for name, value in dict(ast.literal_eval(text)).items()}
    except (SyntaxError, TypeError, ValueError):
        at = {}
    if not {"x", "y"} <= set(at):
        raise SystemExit(
            f"a find in slice {find[SLICE]} has the coordinates {text!r}: the form is "
            "{'x': 258.3, 'y': 261.4}"
        )
    return at


def of_table(name: str, row: Row) -> Geometry:
    """Position, orientation and spacing of a slice, from a table."""
    position, orientation, spacing = (
        [float(one) for one in re.findall(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", row[column])]
        for column in GEOMETRY
    )
    if (len(position), len(orientation), len(spacing)) != (3, 6, 2):
        raise SystemExit(f"{', '.join(GEOMETRY)} of slice {name} are not 3, 6, 2 numbers")
    return position, orientation, spacing


def of_header(file: Path, *, frame: int) -> Geometry:
    """The same, from the header of the file."""
    from ssl3d.data.dicom.header import read_header

    header = read_header(file)
    if header is None or not 0 <= frame < len(header.frames):
        raise SystemExit(f"{file} has no slice {frame}")
    found = header.frames[frame]
    if (len(found.position), len(found.orientation), len(found.spacing)) != (3, 6, 2):
        raise SystemExit(f"{file} does not say where it lies")
    return found.position, found.orientation, found.spacing


def manifest_of(series: list[Row], *, volumes: Path, out: Path) -> list[dict[str, object]]:
    """A row for each series that has a volume; the others are said."""
    rows: list[dict[str, object]] = []
    for one in series:
        strange = [name for name in LABELS if one[name] not in ("0", "1")]
        if strange:
            raise SystemExit(
                f"series {one[SERIES]}: {strange[0]} is {one[strange[0]]!r}, and is 0 or 1"
            )
        file = volumes / one[SERIES]
        if not file.is_dir():
            file = volumes / f"{one[SERIES]}.nii.gz"
        if file.exists():
            image = Path(os.path.relpath(file, out)).as_posix()
            stratum = f"{one['Modality']}, {one[PRESENT]}"
            rows.append({**one, "image": image, "stratum": stratum})
    if not rows:
        raise SystemExit(
            f"{volumes} has no volume of any series: the form is a folder {SERIES} of DICOM files, "
            f"or {SERIES}.nii.gz"
        )
    print(f"{len(rows)} of {len(series)} series have a volume; the others are left out")
    return rows


def points_of(
    manifest: list[dict[str, object]], *, finds: list[Row], volumes: Path, slices: dict[str, Row]
) -> list[dict[str, object]]:
    """A row for each find of those series all of whose finds have a place.

    A crop that shows a find without a place would be taught that there is none. So such a series
    gets no points, and its crops have the labels of the whole series.
    """
    points: list[dict[str, object]] = []
    without = []
    for row in manifest:
        own = [find for find in finds if find[SERIES] == row[SERIES]]
        places = [place_of(find, volumes=volumes, slices=slices) for find in own]
        there = {location for location in LOCATIONS if row[location] == "1"}
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
            f"{len(without)} series get no points: a slice is unknown, or the finds are "
            f"not of the locations that the series has; such as {without[0]}"
        )
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("series", type=Path, help="train.csv")
    parser.add_argument("finds", type=Path, help="train_localizers.csv")
    parser.add_argument(
        "--volumes",
        type=Path,
        required=True,
        help=f"folder of a folder {SERIES} each, of DICOM files, or of {SERIES}.nii.gz",
    )
    parser.add_argument(
        "--slices", type=Path, help=f"for converted series: CSV of {SLICE}, {', '.join(GEOMETRY)}"
    )
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
    rows = [] if given.slices is None else read(given.slices, needed=(SLICE, *GEOMETRY))
    slices = {row[SLICE]: row for row in rows}
    points = points_of(manifest, finds=finds, volumes=given.volumes, slices=slices)
    if not points and given.slices is not None:
        raise SystemExit("no find has a place: is --slices of these series?")
    if not points:
        print("no find has a place, no points.csv: converted series need --slices")
        return
    write(given.out / "points.csv", points, columns=["image", *"xyz", *LABELS])


if __name__ == "__main__":
    main()
