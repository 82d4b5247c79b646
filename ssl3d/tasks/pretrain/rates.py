"""A learning-rate range test of pre-training."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from ssl3d.files import write_text
from ssl3d.folder import RunFolder
from ssl3d.report.rates import draw_rates
from ssl3d.run.bar import Bar
from ssl3d.run.launch import launched
from ssl3d.run.precision import tf32, with_precision
from ssl3d.run.rate_range import RateRange, rate_range
from ssl3d.run.resume import check_new
from ssl3d.tasks.pretrain.alone import pretrain_task
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def find_rates(
    spec: ExperimentSpec,
    *,
    out: str | os.PathLike[str],
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 200,
    console: Console | None = None,
) -> RateRange:
    """Train a spec's model, built anew, for a few steps at rising rates.

    The folder gets `lr.csv` and `lr.png`.

    Args:
        spec: what to train; its first device alone is used.
        out: the folder; one without a run.
        lowest: the first rate.
        highest: the last one.
        steps: of one micro-batch each.
        console: where progress is printed; the terminal by default.

    Raises:
        RunError: the folder holds a run, or the rates do not rise.
        DataError: the volumes cannot be used.
    """
    folder, printed = RunFolder(out), console or Console()
    check_new(folder)
    alone = spec.trainer.model_copy(update={"devices": 1, "nodes": 1, "strategy": "auto"})
    alone = with_precision(alone)
    fabric = launched(alone)

    def say(text: str) -> None:
        printed.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    task = pretrain_task(spec.model_copy(update={"probe": None}), folder=folder, say=say)
    bar = Bar(printed, steps=steps, done=0)
    with bar.shown(), tf32(bool(alone.tf32), device=fabric.device):
        found = rate_range(
            task,
            fabric=fabric,
            optimizer=spec.optimizer,
            seed=spec.seed,
            lowest=lowest,
            highest=highest,
            steps=steps,
            bar=bar,
        )
    _write(found, folder.root)
    return found


def said_of(found: RateRange) -> str:
    """What a test found, in words."""
    if found.suggestion is not None:
        at, loss = found.rates[found.lowest], found.smoothed[found.lowest]
        return (
            f"Suggestion: optimizer.lr {found.suggestion:.2g}, a tenth of the rate at which the "
            f"smoothed loss was smallest ({loss:.4g} at {at:.2g})"
        )
    if found.lowest == 0:
        return "No suggestion: the loss only rose. Begin lower, or look at the data and the losses"
    return "No suggestion: the loss fell to the end. Give a larger last rate, or more steps"


def _write(found: RateRange, folder: Path) -> None:
    rows = zip(found.rates, found.losses, found.smoothed, strict=True)
    lines = ["learning_rate,loss,smoothed", *(",".join(map(repr, row)) for row in rows)]
    write_text(folder / "lr.csv", "\n".join(lines) + "\n")
    draw_rates(
        found.rates,
        losses=found.losses,
        smoothed=found.smoothed,
        suggestion=found.suggestion,
        path=folder / "lr.png",
    )
