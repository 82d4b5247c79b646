"""Curves of a fine-tuning run: the loss, and the number that chooses the weights."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ssl3d.report.curves import BASELINE, Rows, from_zero, line


def draw_tuning_curves(
    rows: Rows, *, number: str | None, chosen: int, path: Path, dice: bool = False
) -> Path:
    """One panel for the loss on training crops, one for the number where one chooses.

    Every axis starts at 0 (or below, where a value is), and that of Dice ends at 1.

    Args:
        rows: of `metrics.csv`.
        number: column of what chooses; None where the last weights are taken.
        chosen: step of the weights that are the result.
        path: PNG file to write.
        dice: True where the number lies between 0 and 1.

    Returns:
        `path`.
    """
    names = ["train/loss", *([number] if number is not None else [])]
    figure = Figure(figsize=(6.5 * len(names), 4.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        loss = name == "train/loss"
        axes.set(title=name, xlabel="optimiser step", ylabel=name.partition("/")[2])
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        text = "training crops" if loss else "cases that choose"
        line(axes, rows, name=name, text=text, style="-" if loss else "o-")
        axes.axvline(chosen, ls="--", color=BASELINE, lw=1.2, label=f"weights of step {chosen}")
        from_zero(axes)
        if dice and not loss:
            axes.set_ylim(top=1)
        axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
