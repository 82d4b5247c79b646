"""What a fine-tuning run comes to, as values and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ssl3d.data.data_error import shown
from ssl3d.measure.bootstrap import Interval

WORST = 3
"""Cases that are named at the end."""


@dataclass(frozen=True)
class FinetuneResult:
    """What `finetune` leaves.

    Attributes:
        out: folder of the run.
        step: optimiser steps taken, over all its resumptions.
        finished: False where it ended before its last step, to go on later.
        ended: `finished`, `early`, `hours` or `asked`.
        exit_code: for the program, where it was asked to stop; else 0.
        asked: exit code of a signal that came at any time, also once training had finished.
        model: weights of the result; `load_model` reads its folder.
        step_of_model: step that they are of.
        primary: which number says how good the model is.
        numbers: on the test cases, by name.
        intervals: of these, 95 %.
        worst: the test cases with the worst numbers, the worst first.
        warnings: what was said on the way.
        pictures: files that were drawn.
        bad_files: case to problem, for what the run went without.
        seconds: spent on training steps.
    """

    out: Path
    step: int
    finished: bool
    ended: str
    exit_code: int
    model: Path
    step_of_model: int = 0
    primary: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    worst: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    bad_files: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    asked: int = 0

    @property
    def score(self) -> float | None:
        """The primary number; None where nothing was tested."""
        return self.numbers.get(self.primary)


def print_result(result: FinetuneResult, *, console: Console, said: int = 0) -> None:
    """Say what came out, and where it is; the first `said` warnings were printed before."""
    for text in result.warnings[said:]:
        console.print(text, style="yellow", markup=False, highlight=False)
    for name, problem in result.bad_files.items():
        told = problem if name in problem else f"{name}: {problem}"
        console.print(f"Went without {told}", style="yellow", markup=False, soft_wrap=True)
    if not result.finished:
        console.print(
            f"Stopped after step {result.step}; the checkpoint is written. Go on with the same "
            f"command and --resume (resume=True), or with: ssl3d resume {shown(result.out)}",
            markup=False,
            highlight=False,
        )
        return
    table = Table(title=f"Test cases, model of step {result.step_of_model}")
    for column in ("number", "value", "95 % interval over cases"):
        table.add_column(column, justify="left" if column == "number" else "right")
    for name, value in result.numbers.items():
        ends = result.intervals.get(name)
        between = "" if ends is None else f"{ends.low:.3f} to {ends.high:.3f}"
        style = "bold" if name == result.primary else None
        table.add_row(name, f"{value:.4f}", between, style=style)
    console.print(table)
    if result.worst:
        names = "\n".join(f"  {shown(name)}" for name in result.worst[:WORST])
        console.print(f"Worst cases:\n{names}", markup=False, highlight=False, soft_wrap=True)
    where = [("Model", result.model), *(("Picture", path) for path in result.pictures)]
    for what, path in where:
        console.print(f"{what}: {shown(path)}", markup=False, highlight=False, soft_wrap=True)
