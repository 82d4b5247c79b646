"""The two sets, and who is on which side.

`final` is measured once everything is chosen; `inner` is what choices are made on; of `pool`
encoders are pre-trained, and labelled subjects are drawn. No person is on two sides.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Literal

Side = Literal["final", "inner", "pool"]

SPLITS = Path(__file__).with_name("splits.json")
LABELS = {"left_atrium": {"atrium": 1}, "hippocampus": {"anterior": 1, "posterior": 2}}


def persons(name: str, side: Side) -> dict[str, str]:
    """Case to person."""
    found: dict[str, str] = json.loads(SPLITS.read_text(encoding="utf-8"))[name][side]
    return found


def images(name: str, side: Side, *, data: Path) -> list[Path]:
    """The images of a side, in a folder that holds `NAME/images` and `NAME/labels`."""
    return [data / name / "images" / f"{case}.nii.gz" for case in persons(name, side)]


def write_groups(name: str, *, path: Path) -> Path:
    """A file for `data.group_file`: who each case of the pool is of."""
    path.write_text(json.dumps(persons(name, "pool")), encoding="utf-8")
    return path


def write_manifest(name: str, *, tested: Side, data: Path, path: Path) -> Path:
    """A file for `data.manifest`: fold 0 is tested on, fold 1 is the pool; final cases stand alone.

    Args:
        name: of the set.
        tested: the side that is fold 0.
        data: folder of the sets.
        path: where to write it.
    """
    folds: list[tuple[Side, int]] = [(tested, 0)]
    if tested != "final":
        folds.append(("pool", 1))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "group", "fold"])
        for side, fold in folds:
            for case, person in persons(name, side).items():
                files = [
                    str(data / name / kind / f"{case}.nii.gz") for kind in ("images", "labels")
                ]
                table.writerow([*files, person, fold])
    return path
