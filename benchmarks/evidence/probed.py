"""What probes.py found, as a table and as the numbers of the conclusions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kept import read
from settings import OF_SET, WEIGHTS

METHODS = ("linear", "knn")
TRAINED, RANDOM = "pre-trained", "random"


def probe_table(of: str, *, results: Path) -> str:
    """Encoders by method, random weights first; empty where none was probed."""
    found = _found(of, results=results)
    rows = [(name, one, TRAINED) for name, one in found.items()]
    rows = [("random weights", one, RANDOM) for name, one in found.items() if name == "x5"] + rows
    if not rows:
        return ""
    lines = ["| encoder | linear | neighbours |", "|---|---|---|"]
    for name, one, network in rows:
        told = " | ".join(_dice(one["dice"][method][network]) for method in METHODS)
        lines.append(f"| {name} | {told} |")
    return "\n".join(lines) + "\n"


def probe_numbers(results: Path) -> dict[str, str]:
    """Mean Dice of x5 and of random weights, by method and set."""
    return {
        f"{method}_{network.replace('-', '_')}_{of}": f"{_mean(one[network]):.1f}"
        for of in OF_SET
        for method, one in _found(of, results=results)["x5"]["dice"].items()
        for network in (TRAINED, RANDOM)
    }


def _found(of: str, *, results: Path) -> Mapping[str, Any]:
    """By encoder, in the order of the settings."""
    known = read(results / "probes.json") or {}
    return {name: known[f"{of}/{name}"] for name in WEIGHTS if f"{of}/{name}" in known}


def _mean(by_seed: Mapping[str, float]) -> float:
    return 100 * statistics.fmean(by_seed.values())


def _dice(by_seed: Mapping[str, float]) -> str:
    return f"{_mean(by_seed):.1f} ± {100 * statistics.stdev(by_seed.values()):.1f}"
