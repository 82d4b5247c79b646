"""Predicted label maps against true ones, on the grids of the files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from ssl3d.data.data_error import shown
from ssl3d.data.labelled.label_map import read_labels
from ssl3d.data.read import target_grid
from ssl3d.data.source import Source
from ssl3d.kinds.task import IGNORE, Row
from ssl3d.measure.overlap import overlap_row, overlap_summary
from ssl3d.tasks.evaluate.legend import check_legend, legend_beside, legend_of_values
from ssl3d.tasks.evaluate.pairs import Pair, find_pairs
from ssl3d.tasks.evaluate.result import Evaluated, check_out, evaluated
from ssl3d.tasks.predict.progress import CaseProgress

PathLike = str | os.PathLike[str]


def evaluate_maps(
    predictions: PathLike,
    labels: PathLike | None = None,
    *,
    out: PathLike | None = None,
    legend: Mapping[str, int] | None = None,
    ignore: int | None = None,
    group_by: str | None = None,
    allow_missing: bool = False,
    console: Console | None = None,
) -> Evaluated:
    """Dice and HD95 of each label, by case and over cases with intervals.

    Args:
        predictions: folder, pattern or file of predicted label maps, or a manifest of both.
        labels: folder, pattern or file of the true ones; see `find_pairs` for what goes together.
        out: folder for `metrics.csv`, `cases.csv` and `summary.json`; None: nothing is written.
        legend: name to value of each label; none: as `NAME.labels.json` beside the predictions
            says, or where there is no such file every value that the label maps hold.
        ignore: value in the label maps of voxels that count for nothing.
        group_by: regular expression with one group that names the person in a prediction's path.
        allow_missing: True leaves out label maps that have no prediction, and says how many.
        console: where progress and numbers are printed; the terminal by default.

    Raises:
        DataError: predictions and label maps do not go together, or hold values that are no labels.
    """
    console = console or Console()
    check_out(out, given=predictions if labels is None else None)
    given = None if labels is None else os.fspath(labels)
    pairs, missing = find_pairs(
        os.fspath(predictions), given, group_by=group_by, allow_missing=allow_missing
    )
    if missing:
        text = f"Left out: {len(missing)} label maps without a prediction, such as {missing[0]}"
        console.print(shown(text), style="yellow", markup=False, soft_wrap=True)
    names = dict(legend or {}) or legend_beside([pair.prediction for pair in pairs])
    check_legend(names or {}, ignore=ignore)
    if names is None:
        names = legend_of_values((pair.label for pair in pairs), ignore=ignore)
        text = f"Nothing names the labels: {', '.join(names)} are those that the label maps hold"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    rows: dict[str, Row] = {}
    progress = CaseProgress(console, cases=len(pairs))
    with progress.shown():
        for pair in pairs:
            name = shown(pair.prediction)
            rows[name] = _row(pair, legend=names, ignore=ignore)
            progress.case(name)
    groups = [pair.group for pair in pairs if pair.group is not None]
    return evaluated(
        rows,
        groups=groups or None,
        summary=partial(overlap_summary, legend=names),
        badness=lambda row: 1 - row["dice"],
        facts={"primary": "dice", "labels": names, "ignore": ignore, "left_out": missing},
        out=out,
        console=console,
    )


def _row(pair: Pair, *, legend: Mapping[str, int], ignore: int | None) -> Row:
    source = Source((pair.prediction,))
    values = {0, *legend.values()}
    known = values if ignore is None else values | {ignore}
    guess = read_labels(source, pair.prediction, spacing=None, values=values)
    truth = read_labels(source, pair.label, spacing=None, values=known)
    nowhere = np.isnan(guess) | np.isnan(truth) | (truth == (np.nan if ignore is None else ignore))
    x, y, z = map(float, target_grid(source).steps)
    return overlap_row(
        _whole(guess),
        truth=_whole(truth).masked_fill(torch.from_numpy(nowhere), IGNORE),
        legend=legend,
        spacing=(z, y, x),
        ignore=IGNORE,
    )


def _whole(labels: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.nan_to_num(labels)).long()
