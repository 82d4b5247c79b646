"""How many compilers this machine can run at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

GIB: Final = 1024**3

# Largest compiler process seen while building MinkowskiEngine, rounded up.
MEMORY_PER_JOB_CPU: Final = 2 * GIB
MEMORY_PER_JOB_CUDA: Final = 4 * GIB


def memory_per_job(*, cuda: bool) -> int:
    """Bytes that one compiler may take."""
    return MEMORY_PER_JOB_CUDA if cuda else MEMORY_PER_JOB_CPU


def compile_jobs(env: Mapping[str, str], *, cuda: bool) -> int:
    """Compiler jobs to run at once: one a core, as memory allows; MAX_JOBS overrides."""
    asked = env.get("MAX_JOBS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    free = available_memory()
    by_memory = _cores() if free is None else free // memory_per_job(cuda=cuda)
    return max(1, min(_cores(), by_memory))


def available_memory() -> int | None:
    """Bytes that a new process may take, within the container's limit; None if not known."""
    known = [amount for amount in (_free_on_machine(), _free_in_container()) if amount is not None]
    return min(known) if known else None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_on_machine() -> int | None:
    table = Path("/proc/meminfo")
    if not table.is_file():
        return None
    for line in table.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _free_in_container() -> int | None:
    group = Path("/sys/fs/cgroup")
    files = [group / name for name in ("memory.max", "memory.current", "memory.stat")]
    if not all(file.is_file() for file in files):
        return None
    limit, used, statistics = (file.read_text(encoding="ascii") for file in files)
    if limit.strip() == "max":
        return None
    # Cached file contents count as used but are given up on demand.
    cached = re.search(r"^inactive_file (\d+)$", statistics, re.MULTILINE)
    return int(limit) - int(used) + (int(cached.group(1)) if cached else 0)
