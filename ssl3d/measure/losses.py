"""Losses of an output, beside the trivial prediction's on the very same patches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from ssl3d.kinds.loss import Loss
from ssl3d.kinds.output import StepOutput, label_of
from ssl3d.masked.model import PretrainModel
from ssl3d.masked.output import PretrainOutput
from ssl3d.masked.restoration import RestorationLoss
from ssl3d.measure.image_quality import image_quality


def measured(
    output: PretrainOutput, *, model: PretrainModel, images: bool = False
) -> dict[str, float]:
    """Losses and metrics of an output, and of the trivial prediction.

    What cannot be measured is left out: a loss that finds nothing in these crops, and a view or
    hidden level that hides nothing that could be scored. The loss is then the weighted mean of the
    others. `loss` is the weighted sum of the losses that there are.

    Args:
        output: of one crop, or of several.
        model: that gave it.
        images: also PSNR and SSIM, of the first view.

    Returns:
        Name to value; empty where there is nothing to measure.
    """
    step, found = output.step, dict[str, float]()
    for label, loss in zip(model.labels, model.losses, strict=True):
        assert isinstance(loss, Loss)
        own = {
            name: float(value)
            for name, value in output.numbers.items()
            if label_of(name, labels=model.labels) == label
        }
        parts = _parts(loss, step)
        found |= _without(own, label=label, parts=parts)
        if isinstance(loss, RestorationLoss):
            end = f"{label}/trivial"
            values = {
                end if name == "loss" else f"{end}/{name}": float(value)
                for name, value in loss.trivial(step).items()
            }
            found |= _without(values, label=end, parts=parts)
    if not found:
        return {}
    total = sum(model.weights[label] * found[label] for label in model.labels if label in found)
    quality = means(image_quality(step.views[0])) if images else {}
    return {"loss": total, **found, **quality}


def means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Of each name, over the rows that have it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return {name: _sum(found) / len(found) for name, found in values.items()}


def _sum(values: list[float]) -> float:
    """Exact, and NaN where both infinities are among the values: `fsum` raises there."""
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


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


class _Part(NamedTuple):
    """What a loss is a weighted mean of: its weight, and whether it can be measured."""

    weight: float
    there: bool


def _parts(loss: Loss, step: StepOutput) -> dict[str, _Part]:
    """Ends of the names of parts; the loss itself, with an empty name, where it has none."""
    if len(step.views) > 1:
        found = zip(step.views, loss.measurable_views(step), strict=True)
        return {
            f"view{i}": _Part(view.batch.level.weight, _any(own))
            for i, (view, own) in enumerate(found)
        }
    weights = step.views[0].batch.hidden.weights
    if isinstance(loss, RestorationLoss) and len(weights) > 1:
        levels = map(_any, loss.measurable_levels(step.views[0]))
        return {
            f"level{i}": _Part(*part) for i, part in enumerate(zip(weights, levels, strict=True))
        }
    return {"": _Part(1.0, _any(loss.measurable(step)))}


def _any(found: Tensor) -> bool:
    return bool(found.any())


def _without(
    values: dict[str, float], *, label: str, parts: Mapping[str, _Part]
) -> dict[str, float]:
    """The values without those of parts that cannot be measured."""
    there = {name: part.weight for name, part in parts.items() if part.there}
    if len(there) in (0, len(parts)):
        return values if there else {}
    gone = parts.keys() - there.keys()
    kept = {name: v for name, v in values.items() if not gone & set(name.split("/"))}
    total = sum(there.values())
    mean = sum(weight * values[f"{label}/{name}"] for name, weight in there.items()) / total
    return {**kept, label: mean}
