"""Times of the ways at one convolution, each checked against halo boxes first."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ssl3d_plugins.sparse_cells.across import HALO, Way
from ssl3d_plugins.sparse_cells.trial import Trial
from ssl3d_plugins.sparse_cells.tune.points import DTYPES, Point

ROUNDS = 15
"""The most that are measured, forward and backward."""

SLOW = 1.5
"""A way that has taken so many times the fastest one's time is measured no more."""

CLOCK: Callable[[], float] = time.perf_counter


@dataclass
class Measured:
    """What was found at one convolution.

    Attributes:
        milliseconds: of each way by name, the fastest of its rounds.
        wrong: of ways that were left out: how their results differ, or why they failed.
    """

    milliseconds: dict[str, float] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


def measure(point: Point, *, device: torch.device, seconds: float, grid: int) -> Measured:
    """Time the ways in turn for about so long, at least one round each after one to warm up.

    Args:
        point: the convolution.
        device: where.
        seconds: to spend.
        grid: cells per axis, a quarter of them visible.
    """
    end = CLOCK() + seconds
    trial = Trial(
        point.op, edge=point.sites, dtype=DTYPES[point.precision], device=device, grid=grid
    )
    found = Measured()
    want = trial.run(HALO)
    ways = [way for way in point.ways(device) if _works(way, trial, want, found)]
    for done in range(ROUNDS):
        for way in ways:
            taken = 1000 * _time(way, trial)
            found.milliseconds[way.name] = min(taken, found.milliseconds.get(way.name, taken))
        best = min(found.milliseconds.values())
        ways = [way for way in ways if found.milliseconds[way.name] <= SLOW * best]
        if CLOCK() > end or (len(ways) == 1 and done):
            break
    return found


def _works(way: Way, trial: Trial, want: tuple[torch.Tensor, ...], found: Measured) -> bool:
    """True where it gives what halo boxes give; else it is noted why not."""
    try:
        why = trial.differs(trial.run(way), want)
    except Exception as error:  # out of memory, or whatever a kernel's compiler may raise
        why = f"{type(error).__name__}: {error}"
    if why:
        found.wrong[way.name] = why
    return not why


def _time(way: Way, trial: Trial) -> float:
    """Seconds of one round."""
    _wait(trial.device)
    start = CLOCK()
    trial.run(way)
    _wait(trial.device)
    return CLOCK() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
