"""What a run comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunResult:
    """What `pretrain` leaves.

    Attributes:
        out: folder of the run.
        step: optimiser steps taken, over all its resumptions.
        finished: False where it was asked to stop before its last step.
        encoder: the exported encoder's weights; `load_encoder` reads them.
        held_out_loss: restoration loss on held-out crops; None where nothing is held out.
        trivial_loss: the same loss of a prediction that needs no network, on the same patches.
        held_out: every held-out measurement by name.
        probe_dice: mean Dice of the linear probe; None where the spec has none.
        untrained_dice: the same before the first step.
        warnings: what was said on the way, such as collapsing features.
        pictures: files that were drawn.
        bad_files: sample to problem, for what the run went without.
        seconds: spent on training steps.
        volumes_per_second: crops trained on per second.
    """

    out: Path
    step: int
    finished: bool
    encoder: Path
    held_out_loss: float | None = None
    trivial_loss: float | None = None
    held_out: Mapping[str, float] = field(default_factory=dict)
    probe_dice: float | None = None
    untrained_dice: float | None = None
    warnings: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    bad_files: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    volumes_per_second: float = 0.0
