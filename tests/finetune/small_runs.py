"""What tests of fine-tuning runs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ssl3d.run.metrics_file import read_metrics

BACKBONE = {"name": "resunet", "widths": (4, 8), "blocks": (1, 1)}
SEGMENTATION = {"name": "segmentation", "labels": {"front": 1, "back": 2}}
CLASSIFICATION = {
    "name": "classification",
    "classes": ("plain", "bright"),
    "column": "kind",
}
LABELS = {"name": "classification", "labels": ("find", "old")}
REGRESSION = {"name": "regression", "values": ("age",)}

EACH_ALONE = {"columns": {"group": "alone"}}
"""Data of which each case is of another person."""

TIMING = ("volumes_per_second", "data_wait", "memory_gib")


def rows_of(out: Path) -> list[dict[str, float]]:
    """Rows of `metrics.csv` without what depends on the machine."""
    rows = read_metrics(out / "metrics.csv")
    assert rows
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows]


def weights_of(out: Path) -> dict[str, Tensor]:
    """The tensors of the model that a run has left."""
    return load_file(out / "model.safetensors")


def part_of(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those below a prefix, by the names that they have there."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def checkpoint_of(out: Path, *, step: int) -> dict[str, Any]:
    """A checkpoint, read without running code."""
    path = out / "checkpoints" / f"step-{step:09d}.ckpt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def different(one: dict[str, Tensor], other: dict[str, Tensor], *, by: float = 0.0) -> list[str]:
    """Names of tensors that differ by more than so much: by default, in any bit."""
    assert one.keys() == other.keys()
    return [n for n in one if not torch.allclose(one[n], other[n], rtol=0, atol=by)]
