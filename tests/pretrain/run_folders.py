"""What tests read out of a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl3d import ExperimentSpec
from ssl3d.run.metrics_file import read_metrics

TIMING = ("volumes_per_second", "data_wait", "memory_gib")


def on_a_cpu(spec: ExperimentSpec) -> ExperimentSpec:
    """A spec with what a run on a CPU decides, as its folder has it."""
    return spec.with_values({"trainer.precision": "32", "trainer.tf32": False})


def rows_without_time(out: Path) -> list[dict[str, float]]:
    """Rows of `metrics.csv` without what depends on the machine."""
    rows = read_metrics(out / "metrics.csv")
    assert rows
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows]


def training_rows(out: Path) -> list[dict[str, float]]:
    """Those of them that hold training losses."""
    return [row for row in rows_without_time(out) if "train/loss" in row]


def checkpoint(out: Path, *, step: int) -> dict[str, Any]:
    """A checkpoint, read without running code."""
    path = out / "checkpoints" / f"step-{step:09d}.ckpt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def weights(out: Path, *, step: int) -> dict[str, Tensor]:
    """The trained tensors of a checkpoint."""
    found: dict[str, Tensor] = checkpoint(out, step=step)["state_dict"]
    return found


def assert_same_weights(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Every tensor is the same to the last bit."""
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different
