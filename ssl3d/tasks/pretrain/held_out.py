"""Held-out crops, measured every few steps: losses, image quality and rank of the features."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl3d.data import Batches
from ssl3d.measure.feature_rank import gram, rankme
from ssl3d.measure.losses import measured, over_crops
from ssl3d.run.metrics_file import MetricsFile
from ssl3d.run.precision import autocast
from ssl3d.run.ranks import of_all_ranks
from ssl3d.tasks.pretrain.module import PretrainModule
from ssl3d.tasks.pretrain.spec import ExperimentSpec

SINGLE = 2.0
"""Effective rank below which features hardly differ in more than one direction."""


class Crop(NamedTuple):
    """What was measured on one held-out crop: nothing where nothing can be hidden or restored."""

    volume: str
    numbers: Mapping[str, float]


class HeldOut:
    """Measures every loss, level and trivial prediction on fixed crops with fixed masks.

    Each crop is measured by itself, so no number depends on `data.batch_size` or on how many ranks
    there are. A mean over crops leaves out those in which there is nothing to measure.

    Args:
        batches: of the run.
        spec: of the run.
        file: takes the means of each volume; None on ranks that write nothing.
        warn: takes a line for the user.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        spec: ExperimentSpec,
        file: MetricsFile | None,
        warn: Callable[[str], None],
    ) -> None:
        self._batches = batches
        self._spec = spec
        self._file = file
        self._warn = warn
        self._collapsed: set[int] = set()
        self._said_empty = self._said_not_finite = False

    def measure(
        self, module: PretrainModule, *, step: int, rank: int, world: int
    ) -> dict[str, float]:
        """The means over the held-out crops of all ranks, as `held_out/...`."""
        weights = module.model.weights
        own, grams = self._own(module, rank=rank, world=world)
        crops = _over_ranks(own)
        found = over_crops((crop.numbers for crop in crops), weights=weights)
        if found:
            found |= self._ranks(grams, step=step)
        self._say_not_finite(found, step=step)
        empty = sum(not crop.numbers for crop in crops)
        if empty:
            found["empty_crops"] = float(empty)
        for row in by_volume(crops, weights=weights):
            if self._file is not None:
                self._file.add({"step": float(step), **row})
        self._say_empty(crops)
        return {f"held_out/{name}": value for name, value in found.items()}

    def _own(
        self, module: PretrainModule, *, rank: int, world: int
    ) -> tuple[dict[int, Crop], list[Tensor]]:
        """This rank's crops by number, and for each stage the sum of their features' products."""
        quality, crops = self._spec.quality, dict[int, Crop]()
        images = quality.images and self._spec.shows
        device = next(module.parameters()).device
        channels = [stage.channels for stage in module.model.encoder.stages]
        grams = [torch.zeros(c, c, dtype=torch.float64) for c in channels]
        for batch in self._batches.held_out(rank=rank, world=world):
            (number,), (volume,) = batch.samples, batch.sources
            with autocast(self._spec.trainer.precision, device=device):
                output = module.held_out(batch.to(device))
            numbers = measured(output, model=module.model, images=images)
            crops[number] = Crop(volume, numbers)
            if quality.rank and numbers:
                new = [gram(features).cpu() for features in output.stages]
                grams = [a + b for a, b in zip(grams, new, strict=True)]
        return crops, grams if quality.rank else []

    def _ranks(self, grams: list[Tensor], *, step: int) -> dict[str, float]:
        """Effective rank of each stage; warns once of each that is low after a step."""
        found: dict[str, float] = {}
        for i, own in enumerate(grams):
            total = torch.stack(of_all_ranks(own)).sum(0)
            rank, channels = rankme(total), len(own)
            found[f"rank/stage{i}"] = rank
            share = self._spec.quality.collapse
            low = share > 0 and rank < max(SINGLE, share * channels) and step > 0
            if low and i not in self._collapsed:
                self._collapsed.add(i)
                self._warn(
                    f"Step {step}: the features of stage {i} use {rank:.1f} of {channels} "
                    "directions (held_out/rank): they collapse. A lower optimizer.lr or a smaller "
                    "weight of contrasting losses may help"
                )
        return found

    def _say_not_finite(self, found: Mapping[str, float], *, step: int) -> None:
        """Warn once of a loss or features that are not finite."""
        names = [one for one in found if one == "loss" or one.startswith("rank/")]
        names = [f"held_out/{one}" for one in names if not math.isfinite(found[one])]
        if names and not self._said_not_finite:
            self._said_not_finite = True
            self._warn(
                f"Step {step}: {', '.join(names)}: not finite, so the model has diverged, and its "
                "encoder is worth nothing. A lower optimizer.lr or optimizer.clip may help"
            )

    def _say_empty(self, crops: list[Crop]) -> None:
        """Warn once of crops that no number is of."""
        empty = [crop.volume for crop in crops if not crop.numbers]
        if empty and not self._said_empty:
            self._said_empty = True
            names = list(dict.fromkeys(empty))
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            self._warn(
                f"In {len(empty)} of {len(crops)} held-out crops nothing can be hidden and "
                "restored: too few of their voxels are data, or they have no contrast. They count "
                f"in no held-out number. They are of {', '.join(names[:3])}{more}"
            )


def by_volume(crops: list[Crop], *, weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row a volume: its name, how many crops count and how many do not, and the means."""
    volumes: dict[str, list[Mapping[str, float]]] = {}
    for crop in crops:
        volumes.setdefault(crop.volume, []).append(crop.numbers)
    return [
        {
            "volume": volume,
            "crops": float(sum(map(bool, numbers))),
            "empty_crops": float(sum(not one for one in numbers)),
            **over_crops(numbers, weights=weights),
        }
        for volume, numbers in volumes.items()
    ]


def _over_ranks(own: dict[int, Crop]) -> list[Crop]:
    """The crops of all ranks in their order: sums do not depend on who measured what."""
    items = [item for part in of_all_ranks(own) for item in part.items()]
    return [crop for _, crop in sorted(items)]
