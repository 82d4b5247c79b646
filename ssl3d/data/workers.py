"""How many reading processes a rank has, where a spec leaves it open. Imports no torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

SHARED = Path("/dev/shm")
"""Where batches wait to be taken, on Linux."""

AHEAD = 3
"""Batches of a reader that are there at once: torch's loader asks for two ahead."""

MOST_FOR_CPU, MOST_FOR_GPU = 2, 16
"""A step on a CPU takes longer than its crops, and the cores that they take. A small network on a
large GPU takes 1,500 crops of 96³ a second, of which a reader makes about 165."""

Workers = Annotated[int, Field(ge=0, le=1024)] | Literal["auto"]


def workers_of(
    asked: int | Literal["auto"], *, ranks: int = 1, gpu: bool = False, batch: int = 0
) -> int:
    """The reading processes of each rank: as asked; auto: a CPU each, and one for training itself.

    At least one, and so many that what they have ready fits into half of the shared memory.

    Args:
        asked: by the spec.
        ranks: on this machine, which share its CPUs.
        gpu: True where a GPU trains.
        batch: bytes.
    """
    if asked != "auto":
        return asked
    most = min(cpus() // ranks - 1, MOST_FOR_GPU if gpu else MOST_FOR_CPU)
    if batch and SHARED.is_dir():
        most = min(most, shutil.disk_usage(SHARED).free // 2 // (ranks * AHEAD * batch))
    return max(1, most)


def cpus() -> int:
    """CPUs that this process may use: a scheduler may give it fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
