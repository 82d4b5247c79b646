"""The linear probe of a run: before the first step, now and then, and after the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning

from ssl3d.data import BadVolume, Source
from ssl3d.data.spec import DataSpec
from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe import labelled_crops, probe_dice
from ssl3d.measure.spec import ProbeSpec
from ssl3d.run.callback import RunCallback
from ssl3d.run.evaluating import evaluating
from ssl3d.run.metrics import Metrics
from ssl3d.tasks.pretrain.module import PretrainModule


class Probe(RunCallback[PretrainModule]):
    """For the first rank alone. Put it before `Metrics`, which takes the numbers as `probe/...`.

    Args:
        spec: of the probe.
        data: how volumes are prepared; the labelled ones are read here.
        metrics: takes the numbers.
        encoder: gives what is probed: what will be exported.
        begun: where the run was begun: paths are grouped as they are seen from there.
        left_out: takes each labelled volume that cannot be used, where `data.on_bad_file` lets the
            run go on.

    Raises:
        DataError: the labelled volumes cannot be used.
    """

    def __init__(
        self,
        spec: ProbeSpec,
        *,
        data: DataSpec,
        metrics: Metrics,
        encoder: Callable[[PretrainModule], Backbone],
        begun: Path,
        left_out: Callable[[Source, BadVolume], None],
    ) -> None:
        self._spec = spec
        self._fit, self._test = labelled_crops(
            spec,
            data=data,
            folder=begun,
            left_out=left_out if data.on_bad_file == "skip" else None,
        )
        self._metrics = metrics
        self._encoder = encoder

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        """Measure the encoder that training starts from."""
        module: PretrainModule = pl_module
        if module.step == 0:
            self._measure(module)

    def after_step(self, trainer: lightning.Trainer, module: PretrainModule) -> None:  # noqa: ARG002
        """Measure where it is due."""
        due = self._spec.every is not None and module.step % self._spec.every == 0
        if due or module.step >= module.spec.trainer.steps:
            self._measure(module)

    def _measure(self, module: PretrainModule) -> None:
        encoder = self._encoder(module)
        with module.clock.paused(), evaluating(encoder):
            dice = probe_dice(encoder, fit=self._fit, test=self._test, sites=self._spec.sites)
        found = {f"probe/dice/class{number}": value for number, value in dice.items()}
        if dice:
            found["probe/dice"] = sum(dice.values()) / len(dice)
        self._metrics.put(found)
