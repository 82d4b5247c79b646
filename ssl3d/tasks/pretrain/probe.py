"""The linear probe of a run: before the first step, now and then, and after the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ssl3d.data import BadVolume, Source
from ssl3d.data.spec import DataSpec
from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe import labelled_crops, probe_dice
from ssl3d.measure.spec import ProbeSpec


class Probe:
    """Probes what will be exported.

    Args:
        spec: of the probe.
        data: how volumes are prepared; the labelled ones are read here.
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

    def measure(self, encoder: Backbone) -> dict[str, float]:
        """Dice of the classes, as `probe/dice/...`, and their mean."""
        dice = probe_dice(encoder, fit=self._fit, test=self._test, sites=self._spec.sites)
        found = {f"probe/dice/class{number}": value for number, value in dice.items()}
        if dice:
            found["probe/dice"] = sum(dice.values()) / len(dice)
        return found
