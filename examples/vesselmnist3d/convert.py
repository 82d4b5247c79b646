"""VesselMNIST3D (MedMNIST) as NIfTI files and a manifest.

    python convert.py vesselmnist3d.npz --out vessels

Shapes of the training and validation split go to `manifest.csv`, for folds; those of the test
split, where the file has one, to `test.csv`, for `ssl3d evaluate RUN --data`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np

TABLES = {"train": "manifest.csv", "val": "manifest.csv", "test": "test.csv"}
COLUMNS = ("image", "aneurysm", "split")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, write a file for each shape and the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("file", type=Path, help="vesselmnist3d.npz, of 28 or 64 voxels an edge")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    rows: dict[str, list[dict[str, object]]] = {}
    (given.out / "images").mkdir(parents=True, exist_ok=True)
    with np.load(given.file) as content:
        for split, table in TABLES.items():
            if f"{split}_images" not in content:
                print(f"{given.file.name} has no split {split!r}")
                continue
            volumes, labels = content[f"{split}_images"], content[f"{split}_labels"].reshape(-1)
            if len(volumes) != len(labels) or not np.isin(labels, (0, 1)).all():
                raise SystemExit(f"{split}: {len(volumes)} shapes need as many labels, 0 or 1")
            for number, (volume, label) in enumerate(zip(volumes, labels, strict=True)):
                name = f"images/{split}_{number:04d}.nii.gz"
                # No spacing is published: 1 mm and these axes are placeholders.
                nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), given.out / name)
                row = {"image": name, "aneurysm": int(label), "split": split}
                rows.setdefault(table, []).append(row)
    if not rows:
        raise SystemExit(f"{given.file} has no split of MedMNIST: the form is train_images, ...")
    for table, own in rows.items():
        with open(given.out / table, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(own)
        found = sum(int(str(row["aneurysm"])) for row in own)
        print(f"{given.out / table}: {len(own)} shapes, {found} with an aneurysm")


if __name__ == "__main__":
    main()
