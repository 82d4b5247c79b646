"""Predicted numbers against true ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


class Values(NamedTuple):
    """Of the cases whose true number is known: (n,) each, and what a line says of them."""

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    numbers: str


def draw_predicted(columns: Mapping[str, Values], *, title: str, path: Path) -> Path:
    """A square for each column: a point for each case, on the diagonal where it is right.

    Args:
        columns: name to its numbers; one without cases is named and has no points.
        title: of the figure.
        path: PNG file to write.

    Returns:
        `path`.
    """
    across = min(len(columns), 4)
    down = -(-len(columns) // across)
    figure = Figure(figsize=(4.2 * across, 4.4 * down + 0.3), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    for axes, (name, (predicted, true, numbers)) in zip(panels, columns.items(), strict=False):
        both = np.concatenate([predicted, true])
        low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
        room = 0.05 * (high - low) or 0.5
        ends = (low - room, high + room)
        axes.plot(ends, ends, ls=":", color="0.6", lw=1)
        axes.scatter(true, predicted, s=18, alpha=0.7)
        axes.set(xlabel=f"true {name}", ylabel=f"predicted {name}", xlim=ends, ylim=ends)
        axes.set_title(f"{len(true)} cases, {numbers}" if len(true) else "no case", fontsize=9.5)
        axes.set_aspect("equal")
        axes.grid(alpha=0.25)
    for axes in panels:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
