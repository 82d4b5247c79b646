"""Losses of an output, beside the trivial prediction's on the very same patches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import PretrainOutput, label_of
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.restoration import RestorationLoss
from ssl3d.measure.image_quality import image_quality


def measured(
    output: PretrainOutput, *, model: PretrainModel, images: bool = False
) -> dict[str, float]:
    """Losses and metrics of an output, and of the trivial prediction.

    What cannot be measured is left out: a loss that finds nothing in these crops, and a level or
    an encoder pass that hides nothing that could be scored. The loss is then the weighted mean of
    the other levels. `loss` is the weighted sum of the losses that there are.

    Args:
        output: of one crop, or of several.
        model: that gave it.
        images: also PSNR and SSIM.

    Returns:
        Name to value; empty where there is nothing to measure.
    """
    found: dict[str, float] = {}
    for label, loss in zip(model.labels, model.losses, strict=True):
        assert isinstance(loss, Loss)
        own = {
            name: float(value)
            for name, value in output.numbers.items()
            if label_of(name, labels=model.labels) == label
        }
        there = _parts(loss, output)
        found |= _without(own, label=label, there=there, output=output)
        if isinstance(loss, RestorationLoss):
            end = f"{label}/trivial"
            values = {
                end if name == "loss" else f"{end}/{name}": float(value)
                for name, value in trivial(loss, output).items()
            }
            found |= _without(values, label=end, there=there, output=output)
    if not found:
        return {}
    total = sum(model.weights[label] * found[label] for label in model.labels if label in found)
    quality = means(image_quality(output)) if images else {}
    return {"loss": total, **found, **quality}


def trivial(loss: RestorationLoss, output: PretrainOutput) -> dict[str, Tensor]:
    """What `loss` gives for the trivial prediction, under the names that its own numbers have."""
    if not output.nested:
        return loss.trivial(output)
    values = [loss.trivial(one)["loss"] for one in _passes(output)]
    weights = output.levels.weights
    weighted = [weight * value for weight, value in zip(weights, values, strict=True)]
    return {
        "loss": torch.stack(weighted).sum() / sum(weights),
        **{f"pass{i}": value for i, value in enumerate(values)},
    }


def means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Of each name, over the rows that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}


def over_crops(
    rows: Iterable[Mapping[str, float]], *, weights: Mapping[str, float]
) -> dict[str, float]:
    """Means of what `measured` found in several crops.

    `loss` is the weighted sum of the losses' means. The mean of the crops' own sums would be lower
    by every crop in which one of the losses finds nothing.
    """
    found = means(rows)
    if found:
        found["loss"] = sum(weights[label] * found[label] for label in weights if label in found)
    return found


def _passes(output: PretrainOutput) -> list[PretrainOutput]:
    """Each encoder pass by itself: it hides its own level, and shows other voxels."""
    passes = zip((output, *output.nested), output.levels.encoder_passes(), strict=True)
    return [replace(one, levels=levels) for one, levels in passes]


def _parts(loss: Loss, output: PretrainOutput) -> dict[str, bool]:
    """Ends of the names of what `loss` is a weighted mean of, to whether it can be measured."""
    if output.nested:
        found = [loss.measurable(one) for one in _passes(output)]
        return {f"pass{i}": bool(one.any()) for i, one in enumerate(found)}
    if isinstance(loss, RestorationLoss) and len(output.levels.levels) > 1:
        levels = loss.measurable_levels(output)
        return {f"level{i}": bool(one.any()) for i, one in enumerate(levels)}
    return {"": bool(loss.measurable(output).any())}


def _without(
    values: dict[str, float], *, label: str, there: Mapping[str, bool], output: PretrainOutput
) -> dict[str, float]:
    """The values without what cannot be measured."""
    if all(there.values()) or not any(there.values()):
        return values if any(there.values()) else {}
    kept = {name: v for name, v in values.items() if there.get(name.split("/")[-1], True)}
    shares: Sequence[tuple[float, float]] = [
        (weight, values[f"{label}/{part}"])
        for weight, part in zip(output.levels.weights, there, strict=True)
        if there[part]
    ]
    total = sum(weight for weight, _ in shares)
    return {**kept, label: sum(weight * value for weight, value in shares) / total}
