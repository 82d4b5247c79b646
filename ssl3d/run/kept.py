"""Which checkpoints of a run are kept: the newest, and the best by a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from ssl3d.files import remove_left_behind
from ssl3d.folder import RunFolder


def prune(
    folder: RunFolder,
    *,
    newest: int,
    scores: Mapping[int, float] | None = None,
    highest: bool = False,
) -> list[Path]:
    """Remove the other checkpoints, and what writers of this run that were killed left behind.

    Args:
        folder: of the run.
        newest: how many of the newest to keep, from 1.
        scores: step to the number that the best is chosen by, as `scores_of` finds it in the
            metrics; none: no best is kept. A checkpoint counts where its own step was measured.
            Those from before the first score, whose metrics were lost, are all kept.
        highest: True where the highest number is the best, False where the lowest is.

    Returns:
        The checkpoints that were removed.
    """
    assert newest >= 1
    remove_left_behind(folder.root, "*")
    remove_left_behind(folder.checkpoints, "step-*.ckpt")
    there = sorted(folder.checkpoints.glob("step-*.ckpt"))
    kept: set[Path | None] = set(there[-newest:])
    if scores is not None:
        first = folder.checkpoint(min(scores)) if scores else None
        kept |= {path for path in there if first is None or path < first}
        kept.add(best_checkpoint(folder, scores=scores, highest=highest))
    removed = [path for path in there if path not in kept]
    for path in removed:
        path.unlink()
    return removed


def best_checkpoint(
    folder: RunFolder, *, scores: Mapping[int, float], highest: bool = False
) -> Path | None:
    """The checkpoint with the best number, the earliest of equal ones; None where none has one."""
    there = {step: score for step, score in scores.items() if folder.checkpoint(step).exists()}
    best = best_step(there, highest=highest)
    return None if best is None else folder.checkpoint(best)


def best_step(scores: Mapping[int, float], *, highest: bool) -> int | None:
    """The step with the best number, from 1, the earliest of equal ones.

    None where there is none: what training starts from has no checkpoint.
    """
    sign = -1 if highest else 1
    steps = [step for step in sorted(scores) if step > 0 and math.isfinite(scores[step])]
    return min(steps, key=lambda step: sign * scores[step], default=None)


def scores_of(rows: Iterable[Mapping[str, float]], name: str) -> dict[int, float]:
    """Step to the number of a column in rows of metrics."""
    return {int(row["step"]): row[name] for row in rows if name in row}
