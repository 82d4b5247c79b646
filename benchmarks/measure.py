"""What the benchmark scripts share: interleaved timing, peak memory, and where they ran."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    # Freed blocks stay with the process, so that no run pays for mapping fresh pages.
    "no page faults": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(1 << 28),
    },
}


def wide_console() -> Console:
    """A terminal as wide as it is; where output goes to a file, wide enough for the tables."""
    return Console(width=None if sys.stdout.isatty() else 120)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU; nothing to wait for on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 1,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Seconds of each run, all runs in turn in every round, so that drift hits them alike."""
    device = device or torch.device("cpu")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(warm_up + rounds):
        for name, run in runs.items():
            synchronise(device)
            start = time.perf_counter()
            run()
            synchronise(device)
            if i >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median(values: list[float]) -> float:
    """The median, which a shared machine disturbs least."""
    return statistics.median(values)


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def peak_memory(run: Callable[[], object], *, device: torch.device) -> float:
    """Bytes at the peak of `run` above what was in use before it. Linux or CUDA.

    On a CPU the process must not have run anything large before: freed memory that the process
    still holds would hide the peak.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return float(torch.cuda.max_memory_allocated(device) - before)
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def machine(device: torch.device) -> dict[str, Any]:
    """Where and with what a result was taken."""
    name = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    return {
        "date": datetime.date.today().isoformat(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else name,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result for people and programs to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
