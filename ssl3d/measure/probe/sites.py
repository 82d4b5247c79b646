"""Features at the sites of labelled crops, and Dice of what is read off them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.crops import LabelledCrop
from ssl3d.streams import Stream, generator


def present_values(crops: Iterable[LabelledCrop]) -> Tensor:
    """Background and what is present, sorted: FreeSurfer's 2035 costs no more than 2."""
    present = torch.unique(torch.cat([torch.unique(crop.labels) for crop in crops]))
    return torch.cat([present.new_zeros(1), present[present > 0]])


def site_rows(
    encoder: Backbone, crops: Sequence[LabelledCrop], *, sites: int
) -> tuple[Tensor, Tensor]:
    """Features (n, C) and labels (n,) of at most `sites` valid sites of each crop.

    Each feature of the finest stage is that of its own stage and of the coarser ones, interpolated.
    Sites are drawn the same way every time.
    """
    rows = [_sampled(encoder, crop, number=i, sites=sites) for i, crop in enumerate(crops)]
    return torch.cat([row for row, _ in rows]), torch.cat([label for _, label in rows])


def mean_dice(
    guesses: Iterable[Tensor], *, test: Sequence[LabelledCrop], values: Tensor
) -> dict[int, float]:
    """Label to Dice, the mean over test crops that have it.

    Args:
        guesses: of each crop, (D, H, W): places in `values`.
        test: the crops.
        values: of `present_values`.
    """
    scores = []
    for guess, crop in zip(guesses, test, strict=True):
        valid = crop.valid.to(guess.device)
        truth = torch.searchsorted(values, crop.labels).to(guess.device)
        scores.append(dice_of_classes(guess[valid], truth=truth[valid], classes=len(values)))
    return mean_over_crops(scores, values=values)


def mean_over_crops(scores: Sequence[Tensor], *, values: Tensor) -> dict[int, float]:
    """Label to the mean of its Dice over the crops that have it; scores are (K,) of each crop."""
    means = torch.stack(list(scores)).nanmean(0)[1:]
    pairs = zip(values[1:].tolist(), means.tolist(), strict=True)
    return {value: mean for value, mean in pairs if not math.isnan(mean)}


def dice_of_classes(
    guess: Tensor, *, truth: Tensor, classes: int, weights: Tensor | None = None
) -> Tensor:
    """Dice of each class, (K,); NaN for a class that `truth` does not have.

    Args:
        guess: (n,) long, a class of each voxel.
        truth: (n,) long.
        classes: K.
        weights: (n,) how many voxels each stands for; 1 by default.
    """

    def counted(found: Tensor, where: Tensor) -> Tensor:
        own = None if weights is None else weights[where]
        return torch.bincount(found[where], weights=own, minlength=classes).float()

    everywhere = torch.ones_like(truth, dtype=torch.bool)
    both = counted(truth, guess == truth)
    guessed, true = counted(guess, everywhere), counted(truth, everywhere)
    return torch.where(true > 0, 2 * both / (guessed + true), torch.nan)


def site_features(stages: Sequence[Tensor]) -> Tensor:
    """Features (n, C) of all sites of the finest stage."""
    finest = stages[0].shape[2:]
    full = [F.interpolate(stage, size=finest, mode="trilinear") for stage in stages]
    return torch.cat(full, 1)[0].flatten(1).T


def stages_of(encoder: Backbone, crop: LabelledCrop) -> list[Tensor]:
    """Feature maps (1, C, ...) of a crop, fine to coarse."""
    device = next(encoder.parameters()).device
    maps = encoder(crop.volume[None].to(device))
    return [stage.float() for stage in maps if isinstance(stage, Tensor)]


def _sampled(
    encoder: Backbone, crop: LabelledCrop, *, number: int, sites: int
) -> tuple[Tensor, Tensor]:
    """Features (n, C) and labels (n,) of valid sites of the finest stage."""
    stages = stages_of(encoder, crop)
    finest = stages[0].shape[2:]
    features = site_features(stages)
    # The voxel nearest to the middle of each site.
    steps = [edge // size for edge, size in zip(crop.labels.shape, finest, strict=True)]
    middle = tuple(slice(step // 2, None, step) for step in steps)
    places = crop.valid[middle].flatten().nonzero().flatten()
    random = generator(0, Stream.PROBE, number)
    places = places[torch.randperm(len(places), generator=random)[:sites]]
    labels = crop.labels[middle].flatten()[places]
    return features[places.to(features.device)], labels.to(features.device)
