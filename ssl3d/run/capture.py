"""A step as it was, for `replay`: batches, weights, and what its random numbers depend on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl3d.files import written_whole
from ssl3d.folder import RunFolder
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.task import Batch

MOST = 3
"""Steps of a run that are captured: each holds all weights."""

WEIGHTS = "weights.ckpt"


def capture_folder(folder: RunFolder, step: int) -> Path | None:
    """Where a step is captured; None where enough are."""
    faults = folder.root / "faults"
    path = faults / f"step-{step:09d}"
    there = [one for one in faults.glob("step-*") if one != path]
    return path if len(there) < MOST else None


def capture(
    path: Path,
    *,
    batches: Sequence[Batch],
    weights: Mapping[str, Tensor],
    about: Mapping[str, Any],
    rank: int,
) -> None:
    """Write what this rank knows of a step.

    Args:
        path: of the step's folder.
        batches: micro-batches of this rank.
        weights: with which they failed; rank 0 writes them.
        about: plain values: the seed, the precision and whatever else tells how to replay it.
        rank: this rank.
    """
    path.mkdir(parents=True, exist_ok=True)
    if rank == 0:
        write_checkpoint(path / WEIGHTS, {"state_dict": dict(weights), "about": dict(about)})
    with written_whole(path / f"batches-{rank}.pt") as unfinished:
        torch.save(list(batches), unfinished)


def captured_batches(path: Path, *, types: Sequence[type]) -> dict[int, list[Batch]]:
    """Rank to its micro-batches, on the CPU.

    Args:
        path: of the step's folder.
        types: classes that may be read; no others are, and none of their code that is not theirs.
    """
    found = {}
    for file in sorted(path.glob("batches-*.pt")):
        number = re.fullmatch(r"batches-(\d+)\.pt", file.name)
        assert number is not None
        with torch.serialization.safe_globals(list(types)):
            found[int(number[1])] = torch.load(file, map_location="cpu", weights_only=True)
    return found
