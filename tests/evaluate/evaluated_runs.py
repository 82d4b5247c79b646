"""A small labelled set, and specs to fine-tune on it."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from ssl3d import FinetuneSpec


def labelled_set(folder: Path, *, cases: int) -> None:
    """Noise that is brighter where labels 1 and 2 are, and a table of kinds and ages of cases."""
    lines = ["image,label,kind,group,age"]
    for case in range(cases):
        rng = np.random.default_rng(case)
        labels = np.zeros((16, 14, 12), np.uint8)
        x, y = 2 + case % 4, 3 + case % 3
        labels[x : x + 4, y : y + 5, 2:7], labels[9:13, 6:11, 4:9] = 1, 2
        image = rng.normal(size=labels.shape).astype(np.float32) + 4 * labels + 3 * (case % 2)
        for kind, array in (("images", image), ("labels", labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nibabel.Nifti1Image(array, np.diag([1.0, 1.5, 2.5, 1.0])).to_filename(
                folder / kind / f"{case}.nii"
            )
        kind = ("dark", "bright")[case % 2]
        lines.append(f"images/{case}.nii,labels/{case}.nii,{kind},{case // 2},{40 + 3 * case}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


SEGMENTATION = {"name": "segmentation", "labels": {"front": 1, "back": 2}}
KINDS = {"name": "classification", "classes": ["dark", "bright"], "column": "kind"}
AGES = {"name": "regression", "values": ["age"]}


def spec_of(folder: Path, *, task: dict, **options: object) -> FinetuneSpec:
    """Two steps of a network of two stages."""
    return FinetuneSpec(
        backbone={"name": "resunet", "widths": [4, 8], "blocks": [1, 1]},
        task=task,
        data={
            "manifest": f"{folder}/table.csv",
            "normalise": {"name": "ct_window", "lower": -4, "upper": 12},
            "folds": 3,
            "workers": 0,
            "cache": {"folder": f"{folder}/cache"},
        },
        patch=8,
        trainer={"steps": 2, "accelerator": "cpu", "validate_every": 2, "checkpoint_every": 2},
        **options,
    )
