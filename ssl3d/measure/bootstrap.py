"""Intervals of numbers over cases, by drawing cases again (Efron 1979; percentiles)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

Rows = Sequence[Mapping[str, float]]
DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """From `low` to `high`; NaN where no draw had the number."""

    low: float
    high: float


def intervals(
    rows: Rows,
    *,
    summary: Callable[[Rows], Mapping[str, float]],
    seed: int,
    groups: Sequence[str] | None = None,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """The interval of each number that `summary` makes of rows.

    Args:
        rows: of the cases.
        summary: a function of the rows alone.
        seed: of the draws.
        groups: of each case, such as its patient: all cases of a group are drawn together. Cases
            of one patient are alike, and drawn apart they would make the interval too narrow.
        draws: how often as many groups as there are are drawn with replacement.
        level: share of the draws inside.

    Raises:
        ValueError: there are no rows, or another number of groups.
    """
    if not rows:
        raise ValueError("there is no case to draw from: give at least one")
    names = [str(i) for i in range(len(rows))] if groups is None else list(groups)
    if len(names) != len(rows):
        raise ValueError(f"{len(names)} groups for {len(rows)} cases: give one for each")
    members: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    cases = list(members.values())
    random = torch.Generator().manual_seed(seed)
    values: dict[str, list[float]] = {}
    for _ in range(draws):
        drawn = torch.randint(len(cases), (len(cases),), generator=random).tolist()
        for name, value in summary([rows[i] for group in drawn for i in cases[group]]).items():
            values.setdefault(name, []).append(value)
    return {name: _percentiles(found, level=level) for name, found in values.items()}


def _percentiles(values: Sequence[float], *, level: float) -> Interval:
    numbers = torch.tensor([v for v in values if not math.isnan(v)], dtype=torch.float64)
    if not len(numbers):
        return Interval(math.nan, math.nan)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(numbers, ends).tolist()
    return Interval(low, high)
