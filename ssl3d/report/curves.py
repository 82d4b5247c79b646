"""Loss curves of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

TRAIN, HELD_OUT, TRIVIAL = "#8fb3d9", "#1f4e8c", "#c8553d"


def draw_curves(rows: Sequence[Mapping[str, float]], *, labels: Sequence[str], path: Path) -> Path:
    """One panel for each loss: training, held-out, and the trivial prediction as a line.

    Args:
        rows: of `metrics.csv`.
        labels: of the losses.
        path: PNG file to write.

    Returns:
        `path`.
    """
    figure = Figure(figsize=(6.5 * len(labels), 4.2), layout="constrained")
    for axes, label in zip(figure.subplots(1, len(labels), squeeze=False)[0], labels, strict=True):
        for name, colour, style, text in (
            (f"train/{label}", TRAIN, "-", "training crops"),
            (f"held_out/{label}", HELD_OUT, "o-", "held-out crops"),
        ):
            points = [(row["step"], row[name]) for row in rows if name in row]
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(steps, values, style, color=colour, label=text, markersize=4, lw=1.5)
        trivial = [row[key] for row in rows if (key := f"held_out/{label}/trivial") in row]
        if trivial:
            text = "trivial prediction on the same patches"
            axes.axhline(trivial[-1], ls="--", color=TRIVIAL, label=text, lw=1.5)
        axes.set(title=label, xlabel="optimiser step", ylabel="loss")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
