"""ROC curves: how well probabilities tell cases with a label from those without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torchmetrics.functional.classification import binary_auroc, binary_roc

Curve = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Probabilities (n,) and whether the label is there (n,)."""


def draw_roc(curves: Mapping[str, Curve], *, title: str, path: Path) -> Path:
    """One curve for each label; a label that all cases have, or none, is named and has none.

    Args:
        curves: of each label, over the cases of which it is known.
        title: of the figure.
        path: PNG file to write.

    Returns:
        `path`.
    """
    figure = Figure(figsize=(6.2, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ls=":", color="0.6", lw=1)
    for name, (probabilities, present) in curves.items():
        positive, negative = int(present.sum()), int((~present).sum())
        text = f"{name}: {positive} with, {negative} without"
        if not positive or not negative:
            axes.plot([], [], color="0.6", label=f"{text}, no curve")
            continue
        guess, truth = torch.from_numpy(probabilities), torch.from_numpy(present).long()
        area = float(binary_auroc(guess, truth))
        false, true, _ = binary_roc(guess, truth)
        axes.step(false, true, where="post", lw=1.6, label=f"{text}, AUROC {area:.3f}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1))
    axes.set_ylim(0, 1.01)
    axes.set_title(title, fontsize=11)
    axes.set_aspect("equal")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
