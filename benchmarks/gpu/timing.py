"""Time by events and by the clock, peak memory, and kernels."""

from __future__ import annotations

import collections
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from settings import Settings

Run = Callable[[], object]


def synchronise(settings: Settings) -> None:
    """Wait for the GPU; on a CPU there is nothing to wait for."""
    if settings.cuda:
        torch.cuda.synchronize()


def clear(settings: Settings) -> None:
    """Free memory: that of one form must not crowd out another."""
    gc.collect()
    if settings.cuda:
        torch.cuda.empty_cache()


def timed(
    runs: Mapping[str, Run], settings: Settings, *, warm: int = 2
) -> dict[str, dict[str, float]]:
    """Median milliseconds of each run, all runs in turn in every round.

    `ms` by CUDA events (the clock on a CPU); `wall ms` by the clock: launches and all waits.
    """
    events: dict[str, list[float]] = {name: [] for name in runs}
    walls: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(warm + settings.rounds):
        for name, run in runs.items():
            synchronise(settings)
            first, last = _events(settings)
            start = time.perf_counter()
            if first:
                first.record()
            run()
            if last:
                last.record()
            synchronise(settings)
            wall = 1e3 * (time.perf_counter() - start)
            if i >= warm:
                walls[name].append(wall)
                events[name].append(first.elapsed_time(last) if first else wall)
    return {
        name: {
            "ms": statistics.median(events[name]),
            "wall ms": statistics.median(walls[name]),
            "spread": (max(walls[name]) - min(walls[name])) / statistics.median(walls[name]),
        }
        for name in runs
    }


def pipelined(run: Run, settings: Settings, *, steps: int) -> float:
    """Milliseconds a step of several in a row, as in training: launches may run ahead."""
    synchronise(settings)
    start = time.perf_counter()
    for _ in range(steps):
        run()
    synchronise(settings)
    return 1e3 * (time.perf_counter() - start) / steps


def peak(run: Run, settings: Settings) -> float:
    """MiB at the peak of `run` above what was allocated before; 0 on a CPU."""
    if not settings.cuda:
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def kernels(run: Run, settings: Settings) -> dict[str, Any]:
    """GPU kernels of one run, their number, their sum, and the longest by name."""
    if not settings.cuda:
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiled:
        run()
        torch.cuda.synchronize()
    total: collections.Counter[str] = collections.Counter()
    number: collections.Counter[str] = collections.Counter()
    for event in profiled.events():
        on_gpu = event.device_type == torch.autograd.DeviceType.CUDA
        if on_gpu and not getattr(event, "is_user_annotation", False):
            total[event.name] += event.time_range.elapsed_us()
            number[event.name] += 1
    return {
        "kernels": sum(number.values()),
        "busy ms": sum(total.values()) / 1e3,
        "top": [[n[:110], number[n], round(t / 1e3, 3)] for n, t in total.most_common(25)],
    }


def _events(settings: Settings) -> tuple[Any, Any]:
    if not settings.cuda:
        return None, None
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
