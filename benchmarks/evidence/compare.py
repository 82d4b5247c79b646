"""What the results come to: means, spreads, paired differences with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from arms import RATES, TUNING, Arm, arms, at, peers
from kept import read
from numpy.typing import NDArray
from sets import Side, persons

DRAWS = 10_000
Scores = Mapping[int, Mapping[str, float]]
"""Dice by seed and case."""


class Difference(NamedTuple):
    """Mean of the second minus the first, in Dice points, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def scores(arm: Arm, side: Side, *, results: Path) -> Scores:
    """Of the seeds that have finished."""
    found: dict[int, dict[str, float]] = {}
    for seed in arm.seeds:
        result = read(results / arm.of / f"{arm.name}-s{seed}.json")
        if result is not None and side in result:
            found[seed] = result[side]
    return found


def by_name(of: str) -> dict[str, Arm]:
    """The arms of a set, in the order of the page."""
    return {arm.name: arm for arm in (*arms(), *peers()) if arm.of == of}


def mean(found: Scores) -> float:
    """Over seeds and cases, in Dice points."""
    return 100 * statistics.fmean(statistics.fmean(one.values()) for one in found.values())


def spread(found: Scores) -> float | None:
    """Sample standard deviation over seeds, in Dice points; None for one seed."""
    means = [100 * statistics.fmean(one.values()) for one in found.values()]
    return statistics.stdev(means) if len(means) > 1 else None


def difference(first: Scores, second: Scores, *, of: str, side: Side) -> Difference | None:
    """Paired over seeds and cases; seeds and persons are drawn anew 10,000 times for the interval.

    Two or three seeds tell little about other seeds: read the interval as one over persons. None
    where no seed is common.
    """
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return None
    pairs = _by_person(first, seeds, of=of, side=side), _by_person(second, seeds, of=of, side=side)
    apart: NDArray[np.float64] = 100 * (pairs[1] - pairs[0])
    random = np.random.default_rng(0)
    drawn_seeds = random.integers(apart.shape[0], size=(DRAWS, apart.shape[0], 1))
    drawn_persons = random.integers(apart.shape[1], size=(DRAWS, 1, apart.shape[1]))
    draws = apart[drawn_seeds, drawn_persons].mean((1, 2))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Difference(float(apart.mean()), float(low), float(high))


def _by_person(found: Scores, seeds: list[int], *, of: str, side: Side) -> NDArray[np.float64]:
    """(seeds, persons): the mean of each person's cases."""
    person = persons(of, side)
    names = sorted(set(person.values()))
    rows = [
        [
            statistics.fmean(value for case, value in found[seed].items() if person[case] == name)
            for name in names
        ]
        for seed in seeds
    ]
    return np.array(rows)


def best_rate(of: str, weights: str | None, *, steps: int, results: Path) -> Arm | None:
    """Of the arms that differ in their rate alone, the best on the inner cases.

    Only those count that have run with all seeds of tuning, and those seeds alone; None where
    none has.
    """
    found: dict[str, float] = {}
    for lr in RATES:
        arm = by_name(of).get(at(of, weights, steps=steps, lr=lr).name)
        scored = {} if arm is None else scores(arm, "inner", results=results)
        if set(TUNING) <= set(scored):
            found[at(of, weights, steps=steps, lr=lr).name] = mean({s: scored[s] for s in TUNING})
    return by_name(of)[max(found, key=found.__getitem__)] if found else None


def restored(of: str, weights: str, *, results: Path) -> Mapping[str, Any] | None:
    """The result of a pre-training."""
    return read(results / of / f"pretrain-{weights}.json")
