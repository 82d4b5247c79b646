"""The same spec on every sparse backend that is installed: same losses, other speed.

    python examples/swap_backend.py --out runs/swap

Prints the loss of every step side by side and the largest difference between them, then goes on
from the first backend's checkpoint on the last one: a checkpoint holds parameters in torch layout
and knows no backend.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.plugin.registry import installed
from ssl3d.run.metrics_file import read_metrics

VOLUMES = Path(__file__).parent / "data" / "hippocampus"

spec = ExperimentSpec(
    backbone={"name": "resunet", "widths": (16, 32), "blocks": (1, 1), "strides": (2, 2)},
    cell=8,
    masker={"name": "random", "ratio": 0.7},
    data={"volumes": VOLUMES, "patch": 32, "batch_size": 4, "workers": 0},
    trainer={"steps": 10, "log_every": 1, "checkpoint_every": 5, "pictures": 0},
)


def available() -> list[str]:
    """Names of the sparse backends whose library is there."""
    names = []
    for name in installed().names("sparse_backend"):
        try:
            spec.replace(sparse_backend=name).build()
        except ImportError as missing:
            print(f"left out: {missing}")
        else:
            names.append(name)
    return names


def largest_difference(losses: Iterable[Sequence[float]]) -> float:
    """Between the backends' losses at one step, as a share of the loss; the worst step's."""
    return max((max(step) - min(step)) / max(step) for step in losses)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--steps", type=int, default=spec.trainer.steps, help="on each backend")
    given = parser.parse_args(arguments)
    out: Path = given.out
    same = spec.with_values({"trainer.steps": given.steps})
    quiet, console = Console(quiet=True), Console()
    rows = {}
    for name in available():
        ssl3d.pretrain(same.replace(sparse_backend=name), out=out / name, console=quiet)
        found = read_metrics(out / name / "metrics.csv")
        rows[name] = [row for row in found if "train/loss" in row]
    losses = list(zip(*([row["train/loss"] for row in run] for run in rows.values()), strict=True))
    table = Table("step", *rows, title="training loss")
    for step, values in enumerate(losses, 1):
        table.add_row(str(step), *(f"{value:.6f}" for value in values))
    table.add_section()
    speeds = [f"{found[-1]['volumes_per_second']:.1f}" for found in rows.values()]
    table.add_row("volumes/s", *speeds)
    console.print(table)
    console.print(
        f"Largest difference between backends: {largest_difference(losses):.1e} of the loss"
    )

    first, *_, last = rows
    longer = same.replace(sparse_backend=last).with_values({"trainer.steps": given.steps + 2})
    result = ssl3d.pretrain(longer, out=out / first, resume=True, console=quiet)
    console.print(
        f"The run of {first!r} went on with {last!r} to step {result.step}: held-out loss "
        f"{result.held_out_loss:.4f}, trivial prediction {result.trivial_loss:.4f}"
    )


if __name__ == "__main__":
    main()
