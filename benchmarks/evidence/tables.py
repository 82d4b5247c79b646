"""Tables and words of docs/evidence.md, made of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arm import Arm
from compare import Difference, Scores, difference, mean, spread
from sets import Side
from settings import ON_GPU


def arms_table(shown: Sequence[Arm], found: Mapping[str, Scores], *, of: str, side: Side) -> str:
    """Arms with their seeds, Dice, and what they are compared with."""
    lines = [
        "| arm | seeds | Dice | against | paired difference | by seed |",
        "|---|---|---|---|---|---|",
    ]
    for arm in shown:
        scored, base = found[arm.name], arm.against
        between = None
        if base is not None and found.get(base):
            between = difference(found[base], scored, of=of, side=side)
        told = f"| {base} | {signed(between)} | {_each(between)} |" if between else "| | | |"
        lines.append(f"| {arm.name} | {_seeds(scored)} | {dice(scored)} {told}")
    return "\n".join(lines) + "\n"


def _seeds(found: Scores) -> str:
    return ", ".join(map(str, sorted(found)))


def dice(found: Scores) -> str:
    """Mean and deviation over seeds."""
    deviation = spread(found)
    return f"{mean(found):.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


ENOUGH = 3
"""Seeds from which an interval is shown."""


def signed(found: Difference) -> str:
    """A difference with its interval, where its seeds are enough for one."""
    if len(found.seeds) < ENOUGH:
        return _points(found.mean)
    return f"{_points(found.mean)} ({_points(found.low)} to {_points(found.high)})"


def _points(value: float) -> str:
    """With its sign, also where it is rounded to 0."""
    return f"{value:+.1f}"


def with_seeds(found: Difference) -> str:
    """The same with the number of seeds, where no column tells them."""
    number = len(found.seeds)
    if number < ENOUGH:
        return f"{_points(found.mean)} ({number} seed{'s' * (number > 1)}, too few for an interval)"
    return signed(found).replace(")", f"; {number} seeds)")


def _each(found: Difference) -> str:
    return ", ".join(f"{seed}: {_points(value)}" for seed, value in found.seeds.items())


def worst_table(found: Mapping[str, Scores]) -> str:
    """The three cases with the lowest mean, for each arm."""
    lines = ["| arm | worst cases, mean Dice over seeds |", "|---|---|"]
    for name, one in found.items():
        told = ", ".join(f"{case} {dice:.1f}" for case, dice in worst(one).items())
        lines.append(f"| {name} | {told} |")
    return "\n".join(lines) + "\n"


def worst(found: Scores) -> dict[str, float]:
    """The three cases with the lowest mean over seeds, the lowest first."""
    cases = sorted({case for values in found.values() for case in values})
    means = {case: mean({s: {case: v[case]} for s, v in found.items()}) for case in cases}
    return {case: means[case] for case in sorted(means, key=means.__getitem__)[:3]}


def changes(values: Mapping[str, Any]) -> str:
    """What a pre-training changes, but for its length."""
    on_gpu = "trainer.accelerator" in values
    shown = ["on a GPU"] if on_gpu else []
    for name, value in values.items():
        if on_gpu and name in ON_GPU:
            continue
        if isinstance(value, Mapping):
            value = value["name"]
        if "steps" not in name:
            shown.append(f"`{name.split('.')[-1]} {value}`")
    return ", ".join(shown)
