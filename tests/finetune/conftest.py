"""Tiny fine-tuning runs: a residual encoder of two stages on labelled volumes made here."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from small_runs import BACKBONE, SEGMENTATION

import ssl3d
from ssl3d import ExperimentSpec, FinetuneSpec

MakeSpec = Callable[..., FinetuneSpec]


@pytest.fixture(scope="session")
def labelled_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of eight cases of two persons each two: `images`, `labels` and `cases.csv`."""
    folder = tmp_path_factory.mktemp("labelled")
    lines = []
    for case in range(8):
        rng = np.random.default_rng(case)
        shape = (24 + case % 3, 24, 22)
        labels = np.zeros(shape, np.uint8)
        z, y, x = rng.integers(2, 6, 3)
        labels[z : z + 8, y : y + 8, x : x + 6] = 1
        labels[z + 9 : z + 16, y + 2 : y + 12, x + 4 : x + 14] = 2
        image = rng.normal(size=shape).astype(np.float32) + 4 * labels
        if case % 2:
            image += 2
        for name, values in (("images", image), ("labels", labels)):
            path = folder / name / f"{case}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(np.transpose(values), np.diag([1, 1, 1.5, 1])), path)
        lines.append(
            {
                "image": f"images/{case}.nii.gz",
                "label": f"labels/{case}.nii.gz",
                "group": f"person{case // 2}",
                "kind": ("plain", "bright")[case % 2],
                "find": "" if case == 3 else case % 2,
                "old": int(case > 3),
                "age": 40 + 5 * case,
                "alone": case,
                "part": (0, 0, 0, 0, 1, 1, 1, 2)[case],
            }
        )
    with open(folder / "cases.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    return folder


@pytest.fixture(scope="session")
def pretrained(labelled_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pre-training run of two steps, on the images of four of the cases."""
    folder = tmp_path_factory.mktemp("pretrained")
    spec = ExperimentSpec(
        backbone=BACKBONE,
        decoder="unet",
        losses=["mse"],
        data={
            "volumes": [str(labelled_set / "images" / f"{case}.nii.gz") for case in range(4)],
            "patch": 16,
            "holdout": 0.25,
            "normalise": {"name": "percentile"},
            "workers": 0,
            "cache": {"folder": str(folder / "cache")},
        },
        trainer={"steps": 2, "accelerator": "cpu", "loggers": (), "pictures": 0},
    )
    ssl3d.pretrain(spec, out=folder / "run")
    return folder / "run"


@pytest.fixture
def make_spec(labelled_set: Path, tmp_path: Path) -> MakeSpec:
    """A function that gives a spec of four steps, with parts replaced by keyword."""

    def make(*, data: Any = None, trainer: Any = None, **parts: Any) -> FinetuneSpec:
        if "encoder" not in parts:
            parts = {"backbone": BACKBONE, **parts}
        return FinetuneSpec(
            data={
                "manifest": str(labelled_set / "cases.csv"),
                "folds": 2,
                "batch_size": 2,
                "workers": 0,
                "cache": {"folder": str(tmp_path / "cache")},
                **(data or {}),
            },
            trainer={
                "steps": 4,
                "accelerator": "cpu",
                "log_every": 2,
                "validate_every": 2,
                "checkpoint_every": 2,
                "loggers": (),
                **(trainer or {}),
            },
            **{"patch": 16, "task": SEGMENTATION, **parts},
        )

    return make
