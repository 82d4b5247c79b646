"""What several models, and mirrored copies, say of the same crops: the mean of probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.window_spec import WindowSpec

DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}


@torch.no_grad()
def averaged(
    models: Sequence[FinetuneModel],
    volume: Tensor,
    *,
    windows: WindowSpec,
    valid: Tensor | None = None,
    counts: Sequence[int] | None = None,
) -> Tensor:
    """The mean over models and mirrorings, in single precision.

    Args:
        models: in evaluation mode, of one task, on one device.
        volume: (R, C, D, H, W), on any device: `windows.batch` rows at a time go to the models'.
        windows: says what is mirrored, the precision, and how many rows are computed at once.
        valid: (R, D, H, W) bool; None where all voxels are valid.
        counts: rows of each case; one each by default.

    Returns:
        (R, K, D, H, W) for tasks on voxels, (B, K) for tasks on cases.
    """
    if not models:
        raise ValueError("there is no model to predict with: give at least one run")
    sides = range(len(windows.mirror) + 1)
    flips = [axes for n in sides for axes in itertools.combinations(windows.mirror, n)]
    dtype = DTYPES.get(windows.precision)
    total: Tensor | None = None
    for model, axes in itertools.product(models, flips):
        turned = [axis - 3 for axis in axes]
        with torch.autocast(
            next(model.parameters()).device.type, dtype=dtype, enabled=dtype is not None
        ):
            found = model.predict(
                volume.flip(turned),
                valid=None if valid is None else valid.flip(turned),
                counts=counts,
                at_once=windows.batch,
            )
        found = found.flip(turned) if found.dim() == 5 else found
        total = found if total is None else total + found
    assert total is not None
    return total / (len(models) * len(flips))
