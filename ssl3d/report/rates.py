"""The picture of a learning-rate range test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ssl3d.report.curves import BASELINE, HELD_OUT, TRAIN


def draw_rates(
    rates: Sequence[float],
    *,
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggestion: float | None,
    path: Path,
) -> Path:
    """Draw the loss against the rate, and a line at the suggestion; returns `path`, a PNG file."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.plot(rates, losses, color=TRAIN, label="of each step", lw=1)
    axes.plot(rates, smoothed, color=HELD_OUT, label="smoothed", lw=1.5)
    first, low = smoothed[0], min(smoothed)
    top = first + (first - low) if low < first else max(filter(math.isfinite, smoothed))
    if top > low:  # the end, where it shoots up, would hide the rest
        axes.set_ylim(low - 0.1 * (top - low), top)
    if suggestion is not None:
        text = f"suggestion: {suggestion:.2g}"
        axes.axvline(suggestion, ls="--", color=BASELINE, label=text, lw=1.5)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
