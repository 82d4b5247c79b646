"""A run ends early where its best number has not got better for a while."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ssl3d.run.run_error import RunError
from ssl3d.run.trainer_spec import BestSpec


def ends_early(spec: BestSpec, rows: Iterable[Mapping[str, float]]) -> bool:
    """True where the last `patience` measurements are none better than the best before them.

    Args:
        spec: names the number.
        rows: of the metrics, in order.
    """
    values = [row[spec.number] for row in rows if spec.number in row]
    if spec.patience is None or len(values) <= spec.patience:
        return False
    goodness = [_good(value, spec=spec) for value in values]
    return max(goodness[-spec.patience :]) <= max(goodness[: -spec.patience])


def check_measured(spec: BestSpec, numbers: Iterable[str]) -> None:
    """Raise RunError where nothing that is measured has the number's name."""
    names = sorted(numbers)
    if spec.number not in names:
        there = ", ".join(names) if names else "nothing"
        raise RunError(
            f"trainer.best.number: nothing measured is called {spec.number!r}. Measured are: "
            f"{there}"
        )


def _good(value: float, *, spec: BestSpec) -> float:
    if math.isnan(value):
        return -math.inf
    return value if spec.larger else -value
