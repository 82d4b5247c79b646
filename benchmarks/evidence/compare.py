"""What the results come to: means, spreads, paired differences with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from arm import RATES, TUNING, Arm, named
from arms import arms, gpu_arms, peers
from kept import read
from numpy.typing import NDArray
from scipy import stats
from sets import Side, persons

Scores = Mapping[int, Mapping[str, float]]
"""Dice by seed and case."""


class Difference(NamedTuple):
    """Mean of the second minus the first, in Dice points, the ends of its 95 % interval, and
    the mean of each common seed."""

    mean: float
    low: float
    high: float
    seeds: Mapping[int, float]


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
    return {arm.name: arm for arm in (*arms(), *peers(), *gpu_arms()) if arm.of == of}


def mean(found: Scores) -> float:
    """Over seeds and cases, in Dice points."""
    return 100 * statistics.fmean(statistics.fmean(one.values()) for one in found.values())


def spread(found: Scores) -> float | None:
    """Sample standard deviation over seeds, in Dice points; None for one seed."""
    means = [100 * statistics.fmean(one.values()) for one in found.values()]
    return statistics.stdev(means) if len(means) > 1 else None


def difference(first: Scores, second: Scores, *, of: str, side: Side) -> Difference | None:
    """Paired over seeds and cases, with a 95 % interval for other seeds and other persons.

    Both are random and crossed: the variance of the mean is that of the seeds' means over their
    number and that of the persons' means over theirs, with Satterthwaite's degrees of freedom
    (Biometrics Bulletin 2, 1946). With three seeds and more it covers 93 to 96 % in simulations;
    with two it is too narrow where they agree by chance, and of one it is over persons alone. None
    where no seed is common.
    """
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return None
    pairs = _by_person(first, seeds, of=of, side=side), _by_person(second, seeds, of=of, side=side)
    apart: NDArray[np.float64] = 100 * (pairs[1] - pairs[0])
    by_seed, by_person = apart.mean(1), apart.mean(0)
    parts = [one.var(ddof=1) / one.size for one in (by_seed, by_person) if one.size > 1]
    sizes = [one.size for one in (by_seed, by_person) if one.size > 1]
    variance, mean_ = sum(parts), float(apart.mean())
    half = 0.0
    if variance > 0:
        per_part = (part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
        half = float(stats.t.ppf(0.975, variance**2 / sum(per_part)) * variance**0.5)
    each = dict(zip(seeds, by_seed.tolist(), strict=True))
    return Difference(mean_, mean_ - half, mean_ + half, each)


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


def by_rate(
    of: str, weights: str | None, *, steps: int, flips: str, results: Path
) -> dict[float, Arm]:
    """The arms that differ in their rate alone and have run with all seeds of tuning."""
    found = {}
    for lr in sorted(RATES):
        arm = by_name(of).get(named(weights, steps=steps, lr=lr, flips=flips))
        if arm is not None and set(TUNING) <= set(scores(arm, "inner", results=results)):
            found[lr] = arm
    return found


def tuned(arm: Arm, *, results: Path) -> Scores:
    """On the inner cases, of the seeds of tuning alone."""
    scored = scores(arm, "inner", results=results)
    return {seed: scored[seed] for seed in TUNING}


def restored(of: str, weights: str, *, results: Path) -> Mapping[str, Any] | None:
    """The result of a pre-training."""
    return read(results / of / f"pretrain-{weights}.json")
