"""What watches a run, in the order in which it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from ssl3d.data import BadFileRecord, BadVolume, Source
from ssl3d.folder import RunFolder
from ssl3d.masked.restoration import restoration_label
from ssl3d.run.callback import RunCallback
from ssl3d.run.checkpoints import Checkpoints
from ssl3d.run.metrics import Metrics
from ssl3d.run.metrics_file import MetricsFile
from ssl3d.run.progress import ProgressBar
from ssl3d.tasks.pretrain.average import EncoderAverage
from ssl3d.tasks.pretrain.empty_crops import EmptyCrops
from ssl3d.tasks.pretrain.held_out import HeldOut
from ssl3d.tasks.pretrain.module import PretrainModule
from ssl3d.tasks.pretrain.probe import Probe


def make_callbacks(
    module: PretrainModule,
    *,
    folder: RunFolder,
    file: MetricsFile | None,
    volumes: MetricsFile | None,
    begun: Path,
    console: Console,
    warn: Callable[[str], None],
) -> list[RunCallback[Any]]:
    """The callbacks of a run; each may look at what those before it measured in the same step.

    Args:
        module: that is trained.
        folder: of the run.
        file: for metrics; None on ranks that write nothing.
        volumes: the same for each held-out volume.
        begun: where relative paths of the spec start from.
        console: for progress.
        warn: takes a line for the user.

    Raises:
        DataError: the probe's volumes cannot be used.
    """
    spec, metrics = module.spec, Metrics(file)
    average = None if spec.optimizer.ema is None else EncoderAverage(spec.optimizer.ema)
    callbacks: list[RunCallback[Any]] = [] if average is None else [average]
    callbacks += [HeldOut(metrics, file=volumes, warn=warn), EmptyCrops(warn=warn)]
    if spec.probe is not None and file is not None:
        encoder = (lambda trained: trained.model.backbone) if average is None else average.encoder
        record = BadFileRecord(folder.bad_files)

        def left_out(source: Source, error: BadVolume) -> None:
            record.add(source.name, f"{error} (for the probe)")

        callbacks.append(
            Probe(
                spec.probe,
                data=spec.data,
                metrics=metrics,
                encoder=encoder,
                begun=begun,
                left_out=left_out,
            )
        )
    judged = restoration_label(module.model.labels, losses=module.model.losses)
    shown = f"held_out/{judged or 'loss'}"
    bar = ProgressBar(console, metrics=metrics, shown=shown)
    return [*callbacks, metrics, bar, Checkpoints(folder)]
