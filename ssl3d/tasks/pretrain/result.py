"""What a run comes to, as values and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ssl3d.data.data_error import shown


@dataclass(frozen=True)
class RunResult:
    """What `pretrain` leaves.

    Attributes:
        out: folder of the run.
        step: optimiser steps taken, over all its resumptions.
        finished: False where it was asked to stop before its last step.
        ended: `finished`, `early`, `hours` or `asked`.
        encoder: the exported encoder's weights; `load_encoder` reads them.
        best_checkpoint: the one that is kept by `trainer.best`, of a step from 1; None without it.
        held_out_loss: restoration loss on held-out crops; None where nothing is held out, or where
            no loss restores.
        trivial_loss: the same loss of a prediction that needs no network, on the same patches.
        held_out: every held-out measurement by name.
        probe_dice: mean Dice of the linear probe; None where the spec has none.
        untrained_dice: the same before the first step.
        warnings: what was said on the way, such as collapsing features.
        pictures: files that were drawn.
        bad_files: sample to problem, for what the run went without.
        seconds: spent on training steps.
        volumes_per_second: crops trained on per second.
        exit_code: for the program: not 0 where a signal asked it to stop.
    """

    out: Path
    step: int
    finished: bool
    encoder: Path
    ended: str = "finished"
    best_checkpoint: Path | None = None
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
    exit_code: int = 0


def print_result(result: RunResult, *, console: Console, said: int = 0) -> None:
    """Say what came out, and where it is; the first `said` warnings were printed before."""
    for text in result.warnings[said:]:
        console.print(text, style="yellow", markup=False, highlight=False)
    for name, problem in result.bad_files.items():
        told = problem if name in problem else f"{name}: {problem}"
        console.print(f"Went without {told}", style="yellow", markup=False, soft_wrap=True)
    if not result.finished:
        console.print(
            f"Stopped after step {result.step}; the checkpoint is written. Go on with the same "
            "command and --resume (resume=True).",
            markup=False,
        )
        return
    if result.ended == "early":
        console.print(
            f"Ended early, after step {result.step}: the number of trainer.best was no better for "
            "trainer.best.patience measurements. The encoder is that of this step",
            highlight=False,
        )
    if result.held_out_loss is not None and result.trivial_loss is not None:
        table = Table(title=f"Held-out restoration loss after {result.step} steps")
        table.add_column("of")
        table.add_column("loss", justify="right")
        table.add_row("this model", f"{result.held_out_loss:.4f}", style="bold")
        table.add_row("trivial prediction, same patches", f"{result.trivial_loss:.4f}")
        console.print(table)
    elif "loss" in result.held_out:
        console.print(
            f"Held-out loss after {result.step} steps: {result.held_out['loss']:.4f}. No loss of "
            "this run restores hidden patches, so there is no trivial prediction to compare with",
            highlight=False,
        )
    if result.probe_dice is not None:
        console.print(
            f"Linear probe: Dice {result.probe_dice:.3f}, {result.untrained_dice:.3f} before the "
            "first step",
            highlight=False,
        )
    console.print(f"{result.volumes_per_second:.3g} volumes per second over {result.seconds:.0f} s")
    best = [("Best checkpoint", result.best_checkpoint)] if result.best_checkpoint else []
    pictures = [("Picture", path) for path in result.pictures]
    where = [("Encoder", result.encoder), *best, *pictures]
    for what, path in where:
        console.print(f"{what}: {shown(path)}", markup=False, highlight=False, soft_wrap=True)
