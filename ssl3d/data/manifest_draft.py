"""A manifest of what a folder holds, to look at and to edit."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from ssl3d.data.bids import DERIVATIVES, bids_name, sidecar
from ssl3d.data.data_error import BadVolume, DataError, shown
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.files import find_sources
from ssl3d.data.label_guess import guess_labels
from ssl3d.data.label_maps import few_whole_numbers, named_like_labels
from ssl3d.data.manifest_table import cell_text
from ssl3d.data.notes import Notes
from ssl3d.data.read import check_header
from ssl3d.data.sizes import header_grid
from ssl3d.data.spec import DataSpec
from ssl3d.data.table import plain_text
from ssl3d.files import write_text

COLUMNS = ("image", "group", "visit", "modality", "sequence", "label", "shape", "spacing")
"""Those that pre-training and fine-tuning read, and what helps to look at them.

`shape` in voxels and `spacing` in mm are z, y, x.
"""

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Draft:
    """A manifest that was written.

    Attributes:
        rows: by column.
        labels: label maps that were guessed.
        alone: rows that got a group of their own, where others have one by name or header.
    """

    rows: Rows
    labels: int
    alone: int


def write_draft(folder: Path, *, out: Path, force: bool = False) -> Draft:
    """Write a manifest of the volumes below a folder: CSV, TSV or JSON by the name of `out`.

    Persons and visits are what BIDS names and DICOM headers say. Neither names nor birth dates are
    read. What is left out is said (`DataWarning`).

    Raises:
        DataError: `out` is there already, has another ending, or there is no volume.
    """
    if out.suffix.lower() not in (".csv", ".tsv", ".json"):
        raise DataError(f"--out: {shown(out)} must end in .csv, .tsv or .json")
    if out.exists() and not force:
        raise DataError(
            f"--out: {shown(out)} is there already: give --force to write over it, or another name"
        )
    if not folder.is_dir():
        raise DataError(f"{shown(folder)} is no folder")
    notes = Notes()
    try:
        found = [source.files[0] for source in find_sources(DataSpec(volumes=str(folder)))]
        images, maps = _sorted_out(found, folder=folder, notes=notes)
        labels = guess_labels(_progress(images, what="Reading headers"), maps, notes=notes)
        rows = [
            _row(image, label=label, folder=folder, start=out.parent)
            for image, label in labels.items()
        ]
    finally:
        notes.say()
    if not rows:
        raise DataError(f"{shown(folder)}: none of {len(found)} files is an image to learn from")
    alone = _fill_groups(rows)
    _write(rows, out=out)
    return Draft(rows, labels=sum(bool(row["label"]) for row in rows), alone=alone)


def _sorted_out(files: list[Path], *, folder: Path, notes: Notes) -> tuple[list[Path], list[Path]]:
    """(images, label maps); the reason is noted for what is left out."""
    images, maps = [], []
    for file in _progress(files, what="Sorting files"):
        if reason := _unusable(file):
            notes.add(file, f"is left out: {reason}")
        elif named_like_labels(file) and few_whole_numbers(file):
            maps.append(file)
        elif DERIVATIVES in file.relative_to(folder).parts:
            notes.add(file, f"is left out: {DERIVATIVES}/ holds what was computed from other files")
        else:
            images.append(file)
    return images, maps


def _unusable(file: Path) -> str:
    try:
        check_header(file)
    except BadVolume as error:
        return str(error.reason)
    if plain_text(str(file)) != str(file) or shown(file) != str(file):
        return (
            "its name is not plain UTF-8 (NFC, no blanks at the ends), which a table must be: "
            "rename it"
        )
    return ""


def _row(image: Path, *, label: Path | None, folder: Path, start: Path) -> dict[str, str]:
    grid = header_grid(image)
    said = _by_header(image) if image.suffix == ENDING else _by_name(image, folder=folder)
    return {
        "image": _path(image, start=start),
        **{column: cell_text(value) for column, value in said.items()},
        "label": "" if label is None else _path(label, start=start),
        "shape": "x".join(map(str, grid.shape)),
        "spacing": "x".join(f"{size:.4g}" for size in grid.spacing),
    }


def _by_header(series: Path) -> dict[str, str]:
    """What a DICOM series says of itself."""
    from ssl3d.data.dicom.series import members

    header = members(series)[0][0][1]
    return {
        "group": header.patient,
        "visit": header.study,
        "modality": header.modality,
        "sequence": header.sequence,
    }


def _by_name(image: Path, *, folder: Path) -> dict[str, str]:
    """What the name of a file says in BIDS, and the JSON file beside it."""
    name, beside = bids_name(image), sidecar(image)
    words = [beside.get(key) for key in ("SequenceName", "PulseSequenceName", "ScanningSequence")]
    sequence = next((word for word in words if isinstance(word, str) and word), "")
    modality = str(beside.get("Modality", ""))
    if name is None:
        return {"group": "", "visit": "", "modality": modality, "sequence": sequence}
    # Persons of several data sets may be called alike.
    root = name.root.relative_to(folder) if name.root.is_relative_to(folder) else Path()
    group = (root / name.of("sub")).as_posix()
    return {
        "group": group,
        "visit": name.of("ses"),
        "modality": name.suffix,
        "sequence": sequence,
    }


def _fill_groups(rows: Rows) -> int:
    """A group of its own for each row without one, where others have one; returns how many."""
    without = [row for row in rows if not row["group"]]
    if len(without) == len(rows):
        return 0
    for row in without:
        row["group"] = row["image"]
    return len(without)


def _path(file: Path, *, start: Path) -> str:
    """From the folder of the manifest where the file is in it."""
    whole, base = Path(os.path.abspath(file)), Path(os.path.abspath(start))
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _write(rows: Rows, *, out: Path) -> None:
    if out.suffix.lower() == ".json":
        write_text(out, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        return
    text = io.StringIO(newline="")
    delimiter = "\t" if out.suffix.lower() == ".tsv" else ","
    table = csv.DictWriter(text, COLUMNS, delimiter=delimiter, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(out, text.getvalue())


def _progress(files: list[Path], *, what: str) -> Iterable[Path]:
    """With a bar where it could be noticed."""
    return track(files, description=what, transient=True, disable=len(files) < 200)
