"""Dice and HD95 of label maps, case by case and over cases.

The rule for classes that are empty in a case: where neither has it, there is nothing to measure
(NaN, left out of means). Where one alone has it, Dice is 0 and HD95 the diagonal of the volume, the
longest distance that there can be: leaving such cases out would reward them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from torch import Tensor

PERCENTILE = 95.0


def overlap_row(
    guess: Tensor,
    *,
    truth: Tensor,
    legend: Mapping[str, int],
    spacing: tuple[float, float, float],
    ignore: int | None = None,
) -> dict[str, float]:
    """`dice/NAME` and `hd95/NAME` (mm) of each label, and `dice`, the mean over labels.

    Args:
        guess: (D, H, W) label map.
        truth: (D, H, W) label map.
        legend: name to value of each label.
        spacing: of the voxels in mm, z y x.
        ignore: value in `truth` where nothing counts.

    Raises:
        ValueError: the maps differ in shape.
    """
    if guess.shape != truth.shape:
        raise ValueError(
            f"a prediction of {tuple(guess.shape)} voxels cannot be compared with labels of "
            f"{tuple(truth.shape)}: give both on one grid"
        )
    scored = torch.ones_like(truth, dtype=torch.bool) if ignore is None else truth != ignore
    diagonal = math.dist((0, 0, 0), [s * n for s, n in zip(spacing, truth.shape, strict=True)])
    row: dict[str, float] = {}
    for name, value in legend.items():
        one, other = (guess == value) & scored, (truth == value) & scored
        row[f"dice/{name}"], row[f"hd95/{name}"] = _measure(
            one, other=other, spacing=spacing, diagonal=diagonal
        )
    return {"dice": mean_of(row[f"dice/{name}"] for name in legend), **row}


def overlap_summary(
    rows: Sequence[Mapping[str, float]], *, legend: Mapping[str, int]
) -> dict[str, float]:
    """Means over cases of each label, and of these means over labels: `dice`, `hd95`.

    `cases/NAME` says over how many cases; a label that no case has is left out of `dice`.
    """
    found: dict[str, float] = {}
    for number in ("dice", "hd95"):
        for name in legend:
            found[f"{number}/{name}"] = mean_of(row[f"{number}/{name}"] for row in rows)
        found[number] = mean_of(found[f"{number}/{name}"] for name in legend)
    for name in legend:
        found[f"cases/{name}"] = float(sum(not math.isnan(row[f"dice/{name}"]) for row in rows))
    first = {number: found.pop(number) for number in ("dice", "hd95")}
    return {**first, **found}


def mean_of(values: Iterable[float]) -> float:
    """Mean of the numbers that are not NaN; NaN where there is none."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _measure(
    one: Tensor, *, other: Tensor, spacing: tuple[float, float, float], diagonal: float
) -> tuple[float, float]:
    """Dice and HD95 of two boolean maps."""
    either = (one | other).nonzero()
    if not len(either):
        return math.nan, math.nan
    if not one.any() or not other.any():
        return 0.0, diagonal
    # What is empty around both changes nothing and costs most of the time.
    low, high = either.amin(0).tolist(), (either.amax(0) + 1).tolist()
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    guess, truth = (x[box][None, None].float() for x in (one, other))
    dice = compute_dice(guess, truth, include_background=True)
    with warnings.catch_warnings():
        # MONAI 1.6 warns about a call of its own.
        warnings.filterwarnings(
            "ignore", message=".*always_return_as_numpy", category=FutureWarning
        )
        distance = compute_hausdorff_distance(
            guess, truth, include_background=True, percentile=PERCENTILE, spacing=spacing
        )
    return float(dice), float(distance)
