"""MAE and R² of predicted values. Cases without a target count nowhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torchmetrics.functional import mean_absolute_error, r2_score

from ssl3d.measure.overlap import mean_of


def values_summary(
    rows: Sequence[Mapping[str, float]], *, columns: Sequence[str]
) -> dict[str, float]:
    """`mae` and `r2`, means over columns, then those of each as `mae/NAME`.

    R² (NaN where fewer than two cases have a target, or all have the same) compares with the mean
    of the targets that are measured on.

    Args:
        rows: with `predicted/NAME` and `target/NAME`, NaN where it is not known.
        columns: their names.
    """
    found: dict[str, float] = {}
    for name in columns:
        pairs = [(row[f"predicted/{name}"], row[f"target/{name}"]) for row in rows]
        pairs = [pair for pair in pairs if not math.isnan(pair[1])]
        guess, truth = torch.tensor(pairs, dtype=torch.float64).view(-1, 2).unbind(1)
        varies = len(truth) > 1 and bool(truth.std() > 0)
        found[f"mae/{name}"] = float(mean_absolute_error(guess, truth)) if len(truth) else math.nan
        found[f"r2/{name}"] = float(r2_score(guess, truth)) if varies else math.nan
    means = {n: mean_of(found[f"{n}/{name}"] for name in columns) for n in ("mae", "r2")}
    return means | found
