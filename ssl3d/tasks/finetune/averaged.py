"""What several models, and mirrored copies, say of the same crops: the mean of probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl3d.run.precision import HALVES, autocast, tf32
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.window_spec import WindowSpec


class NotFinite(ValueError):
    """A model says NaN or infinity of a volume."""


@torch.no_grad()
def averaged(
    models: Sequence[FinetuneModel],
    volume: Tensor,
    *,
    windows: WindowSpec,
    valid: Tensor | None = None,
) -> Tensor:
    """The mean over models and mirrorings of maps, in single precision.

    Args:
        models: in evaluation mode, of one task on voxels, on one device.
        volume: (R, C, D, H, W), on any device: `windows.batch` rows at a time go to the models'.
        windows: says what is mirrored, the precision, and how many rows are computed at once.
        valid: (R, D, H, W) bool; None where all voxels are valid.

    Returns:
        (R, K, D, H, W).

    Raises:
        NotFinite: a valid voxel has a NaN.
    """

    def turned(model: FinetuneModel, axes: list[int]) -> Tensor:
        seen = None if valid is None else valid.flip(axes)
        return model.predict(volume.flip(axes), valid=seen, at_once=windows.batch).flip(axes)

    return mean_of_all(models, windows=windows, one=turned, valid=valid)


@torch.no_grad()
def averaged_cases(
    models: Sequence[FinetuneModel],
    volume: Tensor,
    *,
    windows: WindowSpec,
    valid: Tensor | None,
    counts: Sequence[int],
) -> Tensor:
    """The same of tasks on cases: (B, K) of B cases with `counts` crops each."""

    def turned(model: FinetuneModel, axes: list[int]) -> Tensor:
        seen = None if valid is None else valid.flip(axes)
        return model.predict(volume.flip(axes), valid=seen, counts=counts, at_once=windows.batch)

    return mean_of_all(models, windows=windows, one=turned)


@torch.no_grad()
def mean_of_all(
    models: Sequence[FinetuneModel],
    *,
    windows: WindowSpec,
    one: Callable[[FinetuneModel, list[int]], Tensor],
    valid: Tensor | None = None,
) -> Tensor:
    """The mean of what `one` gives for each model and the axes, from the last, of each mirroring.

    Args:
        models: that say it.
        windows: what is mirrored, and the precision.
        one: gives (R, K, ...).
        valid: (R, ...) bool, where it counts; None: everywhere.

    Raises:
        ValueError: there is no model.
        NotFinite: what counts is not finite.
    """
    if not models:
        raise ValueError("there is no model to predict with: give at least one run")
    sides = range(len(windows.mirror) + 1)
    flips = [axes for n in sides for axes in itertools.combinations(windows.mirror, n)]
    total: Tensor | None = None
    for model, axes in itertools.product(models, flips):
        device = next(model.parameters()).device
        half = windows.precision in HALVES
        with autocast(windows.precision, device=device), tf32(half, device=device):
            found = one(model, [axis - 3 for axis in axes])
        total = found if total is None else total + found
    assert total is not None
    wrong = ~torch.isfinite(total)
    if valid is not None:
        wrong &= valid[:, None].to(wrong.device)
    if wrong.any():
        raise NotFinite(
            "the model says NaN or infinity of it: its weights are damaged, or 16 bits do not hold "
            "its values: then give precision 32 (windows.precision, --precision)"
        )
    return total / (len(models) * len(flips))
