"""How many compilers this machine can run at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

GIB: Final = 1024**3


def memory_per_job(*, cuda: bool) -> int:
    """Bytes of the largest compiler process seen while building MinkowskiEngine, rounded up."""
    return (4 if cuda else 2) * GIB


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
    free = re.search(r"^MemAvailable: +(\d+)", _read("/proc/meminfo"), re.M)
    known = [int(free[1]) * 1024] if free else []
    group = "/sys/fs/cgroup/memory"
    limit, used = _read(f"{group}.max").strip(), _read(f"{group}.current").strip()
    if limit.isdigit() and used.isdigit():  # else it is unlimited, or there is no such file
        # Cached file contents count as used but are given up on demand.
        cached = re.search(r"^inactive_file (\d+)$", _read(f"{group}.stat"), re.M)
        known.append(int(limit) - int(used) + (int(cached[1]) if cached else 0))
    return min(known, default=None)


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
