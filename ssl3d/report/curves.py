"""Curves of a run: losses, and the linear probe where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TRAIN, HELD_OUT, BASELINE = "#8fb3d9", "#1f4e8c", "#c8553d"

Rows = Sequence[Mapping[str, float]]


def draw_curves(rows: Rows, *, labels: Sequence[str], path: Path) -> Path:
    """One panel for each loss: training, held-out, and the trivial prediction as a line.

    Every axis starts at 0 (or below, where a value is), and that of Dice ends at 1: an axis that
    fits the curve would make noise look like progress.

    Args:
        rows: of `metrics.csv`.
        labels: of the losses.
        path: PNG file to write.

    Returns:
        `path`.
    """
    probed = any("probe/dice" in row for row in rows)
    titles = [*labels, *(["linear probe"] if probed else [])]
    figure = Figure(figsize=(6.5 * len(titles), 4.2), layout="constrained")
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title, xlabel="optimiser step", ylabel="loss")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    for axes, label in zip(panels, labels, strict=False):
        line(axes, rows, name=f"train/{label}", style="-", colour=TRAIN, text="training crops")
        line(axes, rows, name=f"held_out/{label}", text="held-out crops")
        text = "trivial prediction on the same patches"
        _level(axes, rows, name=f"held_out/{label}/trivial", at=-1, text=text)
        from_zero(axes)
    if probed:
        panels[-1].set_ylabel("Dice, mean over classes")
        line(panels[-1], rows, name="probe/dice", text="frozen encoder")
        _level(panels[-1], rows, name="probe/dice", at=0, text="before the first step")
        panels[-1].set_ylim(0, 1)
    for axes in panels:
        if axes.lines:
            axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def from_zero(axes: Axes) -> None:
    """Start the axis at 0, or below where a value is."""
    values = np.array([value for line in axes.lines for value in np.asarray(line.get_ydata())])
    if values.size and values.min() >= 0:
        axes.set_ylim(bottom=0.0)


def line(
    axes: Axes, rows: Rows, *, name: str, text: str, style: str = "o-", colour: str = HELD_OUT
) -> None:
    """A column against the step."""
    points = [(row["step"], row[name]) for row in rows if name in row]
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, style, color=colour, label=text, markersize=4, lw=1.5)


def _level(axes: Axes, rows: Rows, *, name: str, at: int, text: str) -> None:
    """One value of a column as a level line."""
    values = [row[name] for row in rows if name in row]
    if values:
        axes.axhline(values[at], ls="--", color=BASELINE, label=text, lw=1.5)
