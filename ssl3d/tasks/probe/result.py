"""What a probe comes to, as files and in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from ssl3d.data.data_error import shown
from ssl3d.files import write_json
from ssl3d.measure.tables import write_table

TRAINED, RANDOM = "pre-trained", "random"


class Line(NamedTuple):
    """A number of an encoder, `pre-trained` or `random`, by a method and a seed."""

    encoder: str
    method: str
    seed: int
    number: str
    value: float


@dataclass(frozen=True)
class ProbeResult:
    """What `probe` found.

    Attributes:
        lines: every number.
        out: folder with `probe.csv` and `probe.json`; None where none is written.
    """

    lines: tuple[Line, ...]
    out: Path | None

    def over_seeds(self) -> dict[tuple[str, str, str], tuple[float, float]]:
        """(number, method, encoder) to mean and sample standard deviation over seeds."""
        values: dict[tuple[str, str, str], list[float]] = {}
        for line in self.lines:
            own = values.setdefault((line.number, line.method, line.encoder), [])
            if not math.isnan(line.value):
                own.append(line.value)
        return {
            key: (
                statistics.fmean(own) if own else math.nan,
                statistics.stdev(own) if len(own) > 1 else math.nan,
            )
            for key, own in values.items()
        }


def write_probe(result: ProbeResult, *, facts: Mapping[str, Any]) -> None:
    """`probe.csv`, a line for each number and seed, and `probe.json`, means and deviations."""
    if result.out is None:
        return
    result.out.mkdir(parents=True, exist_ok=True)
    write_table(result.out / "probe.csv", [line._asdict() for line in result.lines])
    numbers: dict[str, Any] = {}
    for (number, method, encoder), (mean, sd) in result.over_seeds().items():
        own = numbers.setdefault(number, {}).setdefault(method, {})
        own[encoder] = {"mean": _plain(mean), "sd": _plain(sd)}
    write_json(result.out / "probe.json", {**facts, "numbers": numbers})


def print_probe(result: ProbeResult, *, console: Console) -> None:
    """A line for each number and method, the random encoder beside the pre-trained one."""
    table = Table(title="Frozen features, mean ± sd over seeds")
    for column in ("number", "method", TRAINED, RANDOM):
        right = column in (TRAINED, RANDOM)
        table.add_column(column, justify="right" if right else "left")
    found = result.over_seeds()
    for number, method in dict.fromkeys(key[:2] for key in found):
        cells = [
            _words(*found[number, method, encoder])
            for encoder in (TRAINED, RANDOM)
            if (number, method, encoder) in found
        ]
        table.add_row(number, method, *cells)
    console.print(table)
    if result.out is not None:
        console.print(f"Written to {shown(result.out)}", markup=False, soft_wrap=True)


def _words(mean: float, sd: float) -> str:
    return f"{mean:.4f}" if math.isnan(sd) or not sd else f"{mean:.4f} ± {sd:.4f}"


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
