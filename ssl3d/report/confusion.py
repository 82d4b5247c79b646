"""The confusion of classes: how many cases of each were taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def draw_confusion(
    counts: NDArray[np.int64], *, names: Sequence[str], title: str, path: Path
) -> Path:
    """A square of counts; shades are shares of each true class, so that rare ones are seen.

    Args:
        counts: (K, K), true class by predicted class.
        names: of the classes.
        title: of the figure.
        path: PNG file to write.

    Returns:
        `path`.
    """
    edge = 2.4 + 0.7 * len(names)
    figure = Figure(figsize=(edge + 0.8, edge), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, guessed), count in np.ndenumerate(counts):
        colour = "white" if shares[true, guessed] > 0.6 else "black"
        axes.text(guessed, true, str(count), ha="center", va="center", color=colour)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
