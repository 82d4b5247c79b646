"""Pictures of a fine-tuning run: curves, and what the model makes of its test cases."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.files import stem
from ssl3d.data.labelled.batches import LabelledBatches
from ssl3d.data.read import target_grid
from ssl3d.folder import RunFolder
from ssl3d.kinds.task import Row
from ssl3d.report.confusion import draw_confusion
from ssl3d.report.overlay import draw_overlay
from ssl3d.report.predicted_values import Values, draw_predicted
from ssl3d.report.roc import Curve, draw_roc
from ssl3d.report.segmented_case import SegmentedCase
from ssl3d.report.tuning_curves import draw_tuning_curves
from ssl3d.run.metrics_file import read_metrics
from ssl3d.tasks.finetune.measure import Measured, decided_map
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.resolved import Resolved

LABELS = 6
"""Whose Dice a picture says; more would not fit."""


def draw_pictures(
    model: FinetuneModel,
    *,
    found: Measured,
    resolved: Resolved,
    batches: LabelledBatches,
    folder: RunFolder,
    step: int,
) -> list[Path]:
    """Curves; overlays of the best, the median and the worst test case; confusion and ROC;
    predicted numbers against true ones.

    Args:
        model: in evaluation mode, on its device.
        found: on the test cases.
        resolved: what the run is made of.
        batches: of the run.
        folder: of the run.
        step: of the weights.
    """
    best, where = resolved.trainer.best, folder.pictures
    paths = [
        draw_tuning_curves(
            read_metrics(folder.metrics),
            number=None if best is None else best.number,
            chosen=step,
            path=where / "losses.png",
            dice=best is not None and best.number.endswith("/dice"),
        )
    ]
    config = resolved.spec.task
    if config.per == "voxel" and config.legend() and resolved.trainer.pictures:
        paths += _overlays(model, found=found, resolved=resolved, batches=batches, folder=where)
    title = f"{len(found.rows)} test cases, model of step {step}"
    if config.targets == "number" and config.per == "case":
        values = values_of(found, names=config.outputs())
        if values:
            paths.append(draw_predicted(values, title=title, path=where / "predicted.png"))
    if config.targets == "class" and config.per == "case":
        curves = roc_curves(found.rows, names=config.outputs())
        if curves:
            paths.append(draw_roc(curves, title=title, path=where / "roc.png"))
        counts = confusion_of(found.summary, names=config.outputs())
        if counts is not None:
            file = where / "confusion.png"
            paths.append(draw_confusion(counts, names=config.outputs(), title=title, path=file))
    return paths


def roc_curves(rows: Mapping[str, Row], *, names: tuple[str, ...]) -> dict[str, Curve]:
    """Of each label, or of each class against the rest; none of rows that hold no probabilities."""
    found: dict[str, Curve] = {}
    for number, name in enumerate(names):
        guess = np.array([row.get(f"probability/{name}", math.nan) for row in rows.values()])
        own = np.array([row.get(f"target/{name}", math.nan) for row in rows.values()])
        classes = np.array([row.get("target", math.nan) for row in rows.values()])
        truth = np.where(np.isnan(classes), own, classes == number)
        known = ~np.isnan(guess) & ~np.isnan(truth)
        if known.any():
            found[name] = guess[known], truth[known] > 0
    return found


def values_of(found: Measured, *, names: tuple[str, ...]) -> dict[str, Values]:
    """Of each column that rows hold numbers of."""
    columns: dict[str, Values] = {}
    for name in names:
        pairs = np.array(
            [
                (row[f"predicted/{name}"], row[f"target/{name}"])
                for row in found.rows.values()
                if f"predicted/{name}" in row and f"target/{name}" in row
            ]
        ).reshape(-1, 2)
        if len(pairs):
            guess, truth = pairs[~np.isnan(pairs).any(axis=1)].T
            told = {"MAE": found.summary.get(f"mae/{name}"), "R²": found.summary.get(f"r2/{name}")}
            numbers = ", ".join(f"{n} {v:.3g}" for n, v in told.items() if v is not None)
            columns[name] = Values(guess, truth, numbers)
    return columns


def confusion_of(summary: Row, *, names: tuple[str, ...]) -> NDArray[np.int64] | None:
    """(K, K) counts, true class by predicted class; None where the summary has none."""
    try:
        counts = [[summary[f"confusion/{true}/{guess}"] for guess in names] for true in names]
    except KeyError:  # labels that a case may have any of are not confused with each other
        return None
    return np.array(counts).round().astype(np.int64)


def _overlays(
    model: FinetuneModel,
    *,
    found: Measured,
    resolved: Resolved,
    batches: LabelledBatches,
    folder: Path,
) -> Iterator[Path]:
    config, loader = resolved.spec.task, batches.fixed("testing", whole=True)
    cases = {case.name: (number, case) for number, case in enumerate(batches.volumes.sides.testing)}
    for which, name in extremes(found.rows, badness=model.task.badness).items():
        number, case = cases[name]
        batch = loader.collate_fn([loader.dataset[number]])
        guess = decided_map(
            model,
            batch.volume[0],
            valid=batch.valid,
            patch=resolved.patch,
            windows=resolved.spec.windows,
        )
        valid = np.ones(guess.shape, np.bool_) if batch.valid is None else batch.valid[0].numpy()
        drawn = SegmentedCase(
            image=batch.volume[0, 0].numpy(),
            valid=valid,
            truth=batch.labels[0].long().numpy(),
            guess=guess.numpy(),
            names=tuple(config.legend()),
            affine=target_grid(case.image, spacing=resolved.preparation.spacing).affine,
        )
        row = found.rows[name]
        labels = [label for label in config.legend() if f"dice/{label}" in row][:LABELS]
        numbers = ", ".join(f"Dice of {label} {row[f'dice/{label}']:.3f}" for label in labels)
        file = re.sub(r"[^A-Za-z0-9_-]+", "_", stem(case.image.files[0]))[:60]
        yield draw_overlay(
            drawn,
            title=f"The {which} of {len(found.rows)} test cases: {case.image.files[0].name}",
            numbers=numbers,
            path=folder / f"{which}-{file}.png",
        )


def extremes(rows: Mapping[str, Row], *, badness: Callable[[Row], float]) -> dict[str, str]:
    """`best`, `median` and `worst` to the case; one case is drawn once, by the first of these."""
    known = {name: badness(row) for name, row in rows.items()}
    ranked = sorted((n for n, bad in known.items() if not math.isnan(bad)), key=lambda n: known[n])
    if not ranked:
        return {}
    places = {"best": 0, "worst": len(ranked) - 1, "median": len(ranked) // 2}
    found: dict[str, str] = {}
    for which, place in places.items():
        if ranked[place] not in found.values():
            found[which] = ranked[place]
    return found
