"""The end of a run: the encoder, pictures and a summary."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from ssl3d.data import Batches
from ssl3d.files import write_json
from ssl3d.folder import RunFolder
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.restoration import restoration_label
from ssl3d.report.curves import draw_curves
from ssl3d.run.checkpoints import read_checkpoint
from ssl3d.run.loggers import log_pictures
from ssl3d.run.metrics_file import read_metrics
from ssl3d.run.module import KEY
from ssl3d.tasks.pretrain.checkpoint_weights import averaged_weights, backbone_weights
from ssl3d.tasks.pretrain.empty_crops import all_empty_crops
from ssl3d.tasks.pretrain.export import export_encoder
from ssl3d.tasks.pretrain.pictures import draw_held_out
from ssl3d.tasks.pretrain.result import RunResult
from ssl3d.tasks.pretrain.spec import ExperimentSpec


def finish(
    checkpoint: Path,
    *,
    spec: ExperimentSpec,
    folder: RunFolder,
    batches: Batches,
    device: torch.device,
    finished: bool,
    warnings: tuple[str, ...] = (),
) -> RunResult:
    """Write the encoder, the summary and, where the run is finished, the pictures.

    The exported encoder is the averaged one where the spec has `optimizer.ema`. Everything is made
    from what is on disk, so it says what a checkpoint is worth.

    Args:
        checkpoint: of the last step.
        spec: of the run.
        folder: of the run.
        batches: of the run.
        device: to restore held-out volumes on.
        finished: False where the run was stopped before its last step.
        warnings: what was said on the way.
    """
    content = read_checkpoint(checkpoint)
    done = content[KEY]
    weights = averaged_weights(content) or backbone_weights(content)
    encoder = export_encoder(weights, spec=spec, out=folder.root, step=done["step"])
    model = _model(spec, content).to(device)
    rows = read_metrics(folder.metrics)
    pictures: list[Path] = []
    if finished:
        curves = folder.pictures / "losses.png"
        pictures.append(draw_curves(rows, labels=model.labels, path=curves))
        if spec.restores:
            pictures += draw_held_out(
                model, spec=spec, batches=batches, folder=folder.pictures, step=done["step"]
            )
        log_pictures(pictures, loggers=spec.trainer.loggers, folder=folder, step=done["step"])
    latest = {name: value for row in rows for name, value in row.items()}
    held_out = {
        name.removeprefix("held_out/"): value
        for name, value in latest.items()
        if name.startswith("held_out/")
    }
    label = restoration_label(model.labels, losses=model.losses)
    loss, trivial = held_out.get(label or ""), held_out.get(f"{label}/trivial")
    said = [all_empty_crops(rows, crops=done["samples"])]
    if finished:
        said.append(no_better_than_trivial(loss, trivial=trivial))
    result = RunResult(
        out=folder.root,
        step=done["step"],
        finished=finished,
        encoder=encoder,
        held_out_loss=loss,
        trivial_loss=trivial,
        held_out=held_out,
        probe_dice=latest.get("probe/dice"),
        untrained_dice=next((row["probe/dice"] for row in rows if "probe/dice" in row), None),
        warnings=(*warnings, *(text for text in said if text is not None)),
        pictures=tuple(pictures),
        bad_files=batches.volumes.bad_files(),
        seconds=done["seconds"],
        volumes_per_second=done["samples"] / max(done["seconds"], 1e-9),
    )
    write_json(folder.summary, _plain(result))
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


def _model(spec: ExperimentSpec, checkpoint: dict[str, Any]) -> PretrainModel:
    """The trained model, in evaluation mode."""
    model = spec.build()
    weights = checkpoint["state_dict"].items()
    model.load_state_dict({name.removeprefix("model."): value for name, value in weights})
    return model.eval()


def _plain(result: RunResult) -> dict[str, Any]:
    """A result as JSON knows it, with paths from the run's folder."""
    return dataclasses.asdict(result) | {
        "out": str(result.out),
        "encoder": result.encoder.name,
        "pictures": [str(path.relative_to(result.out)) for path in result.pictures],
    }
