"""The end of a run: the encoder, pictures and a summary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl3d.data import Batches
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.restoration import restoration_label
from ssl3d.report.curves import draw_curves
from ssl3d.run.kept import best_checkpoint, scores_of
from ssl3d.run.loggers import log_pictures
from ssl3d.run.metrics_file import read_metrics
from ssl3d.run.task import Fitted
from ssl3d.tasks.loaded import loaded_counts
from ssl3d.tasks.pretrain.empty_crops import all_empty_crops
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d.tasks.pretrain.pictures import draw_held_out
from ssl3d.tasks.pretrain.result import RunResult
from ssl3d.tasks.pretrain.spec import ExperimentSpec

NUMBERS = ("held_out_loss", "trivial_loss", "probe_dice", "untrained_dice")
"""What of a result is measured."""


def finish(
    model: PretrainModel,
    *,
    weights: Mapping[str, Tensor],
    fitted: Fitted,
    spec: ExperimentSpec,
    folder: RunFolder,
    batches: Batches,
    warnings: tuple[str, ...] = (),
) -> RunResult:
    """Write the encoder, the summary and, where the run is finished, the pictures.

    Args:
        model: as the last step left it.
        weights: of the encoder that is exported: the averaged one where the spec has
            `optimizer.ema`.
        fitted: how training ended.
        spec: of the run.
        folder: of the run.
        batches: of the run.
        warnings: what was said on the way.
    """
    encoder = export_encoder(weights, spec=spec, out=folder.root, step=fitted.step)
    model.eval()
    rows = read_metrics(folder.metrics)
    pictures: list[Path] = []
    if fitted.finished:
        curves = folder.pictures / "losses.png"
        pictures.append(draw_curves(rows, labels=model.labels, path=curves))
        if spec.shows:
            pictures += draw_held_out(
                model, spec=spec, batches=batches, folder=folder.pictures, step=fitted.step
            )
        log_pictures(pictures, loggers=spec.trainer.loggers, folder=folder, step=fitted.step)
    latest = {name: value for row in rows for name, value in row.items()}
    held_out = {
        name.removeprefix("held_out/"): value
        for name, value in latest.items()
        if name.startswith("held_out/")
    }
    label = restoration_label(model.labels, losses=model.losses)
    loss, trivial = held_out.get(label or ""), held_out.get(f"{label}/trivial")
    said, best = [all_empty_crops(rows, crops=fitted.samples)], spec.trainer.best
    if fitted.finished:
        said.append(no_better_than_trivial(loss, trivial=trivial))
    result = RunResult(
        out=folder.root,
        step=fitted.step,
        finished=fitted.finished,
        ended=fitted.ended,
        best_checkpoint=None
        if best is None
        else best_checkpoint(folder, scores=scores_of(rows, best.number), highest=best.larger),
        exit_code=fitted.exit_code,
        encoder=encoder,
        held_out_loss=loss,
        trivial_loss=trivial,
        held_out=held_out,
        probe_dice=latest.get("probe/dice"),
        untrained_dice=next((row["probe/dice"] for row in rows if "probe/dice" in row), None),
        warnings=(*warnings, *(text for text in said if text is not None)),
        pictures=tuple(pictures),
        bad_files=batches.volumes.bad_files(),
        seconds=fitted.seconds,
        volumes_per_second=fitted.samples / max(fitted.seconds, 1e-9),
    )
    write_json(folder.summary, {**_plain(result), "loaded": loaded_counts(folder.root)})
    return result


def no_better_than_trivial(loss: float | None, *, trivial: float | None) -> str | None:
    """What to say of a held-out loss that is not below the trivial prediction's."""
    if loss is None or trivial is None or loss < trivial:
        return None
    return (
        f"The held-out loss, {loss:.4f}, is not below the trivial prediction's, {trivial:.4f}: on "
        "volumes that it was not trained on, this model restores no better than a prediction "
        "that needs no network. More steps, more volumes or another optimizer.lr may help"
    )


def _plain(result: RunResult) -> dict[str, Any]:
    """A result as JSON knows it, which has no NaN, with paths from the run's folder."""
    return dataclasses.asdict(result) | {
        "out": str(result.out),
        "encoder": result.encoder.name,
        "pictures": [str(path.relative_to(result.out)) for path in result.pictures],
        "best_checkpoint": result.best_checkpoint
        and str(result.best_checkpoint.relative_to(result.out)),
        "held_out": {name: _finite(value) for name, value in result.held_out.items()},
        **{name: _finite(getattr(result, name)) for name in NUMBERS},
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
