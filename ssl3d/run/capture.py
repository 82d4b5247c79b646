"""A step as it was, for `replay`: batches, weights, and what its random numbers depend on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl3d.files import written_whole
from ssl3d.folder import RunFolder
from ssl3d.run.checkpoint_file import write_checkpoint
from ssl3d.run.ranks import of_all_ranks, rank
from ssl3d.run.run_error import RunError
from ssl3d.run.task import Batch

MOST = 3
"""Steps of a run that are captured: each holds all weights."""

WEIGHTS = "weights.ckpt"


def captured(
    folder: RunFolder,
    *,
    batches: Sequence[Batch],
    weights: Mapping[str, Tensor],
    about: Mapping[str, Any],
) -> str:
    """Keep what is known of a step, if not enough are kept, and say it. All ranks must call it.

    Args:
        folder: of the run.
        batches: micro-batches of this rank.
        weights: with which they failed; rank 0 writes them.
        about: plain values: the step, the seed, the precision and what else tells how to replay it.
    """
    path = folder.root / "faults" / f"step-{about['step']:09d}"
    there = [one for one in path.parent.glob("step-*") if one != path]
    if of_all_ranks(len(there) >= MOST)[0]:
        return f"It is not captured: {MOST} steps of this run are ({path.parent})"
    problem = ""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if rank() == 0:
            write_checkpoint(path / WEIGHTS, {"state_dict": dict(weights), "about": dict(about)})
        with written_whole(path / f"batches-{rank()}.pt") as unfinished:
            torch.save(list(batches), unfinished)
    except (OSError, RuntimeError, RunError) as error:  # training can go on without
        problem = str(error).partition("\n")[0]
    problems = [one for one in of_all_ranks(problem) if one]
    if problems:
        return f"It could not be captured: {problems[0]}"
    return f"To see where: ssl3d replay {shlex.quote(str(path))}"


def captured_batches(path: Path, *, types: Sequence[type]) -> dict[int, list[Batch]]:
    """Rank to its micro-batches, on the CPU.

    Args:
        path: of the step's folder.
        types: classes that may be read; no others are, and none of their code that is not theirs.

    Raises:
        RunError: there are none, or a file is damaged or of another version.
    """
    found = {}
    for file in sorted(path.glob("batches-*.pt")):
        number = re.fullmatch(r"batches-(\d+)\.pt", file.name)
        assert number is not None
        try:
            with torch.serialization.safe_globals(list(types)):
                found[int(number[1])] = torch.load(file, map_location="cpu", weights_only=True)
        except (
            Exception
        ):  # whatever a damaged file raises; torch's words advise to run what it holds
            raise RunError(
                f"{file} cannot be read: it is damaged, or another version of ssl3d wrote it"
            ) from None
    if not found:
        raise RunError(f"{path} has no batches of the step: they could not be written")
    return found
