"""Voxels of a test crop that are looked up one by one, and their features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ssl3d.measure.probe.crops import LabelledCrop


def drawn_voxels(crop: LabelledCrop, *, at_most: int, random: Generator) -> tuple[Tensor, Tensor]:
    """Valid voxels, and how many each of them stands for.

    Where there are more than `at_most`, all classes get as many, as far as they have them, so that
    a small structure is not missed; sums with the weights are those of the whole crop on average.

    Returns:
        Places (n, 3) and weights (n,), 1 where all are taken.
    """
    classes = [
        (crop.valid & (crop.labels == value)).nonzero()
        for value in torch.unique(crop.labels[crop.valid])
    ]
    classes.sort(key=len)
    places, weights, left = [], [], at_most
    for number, own in enumerate(classes):
        taken = min(len(own), max(1, left // (len(classes) - number)))
        if taken < len(own):
            places.append(own[torch.randperm(len(own), generator=random)[:taken]])
        else:
            places.append(own)
        weights.append(torch.full((taken,), len(own) / taken))
        left -= taken
    if not classes:
        return torch.empty(0, 3, dtype=torch.long), torch.empty(0)
    return torch.cat(places), torch.cat(weights)


def features_at(stages: Sequence[Tensor], *, places: Tensor, size: Sequence[int]) -> Tensor:
    """Features (n, C) of all stages (1, C, ...), interpolated linearly at voxels.

    Args:
        stages: of a crop.
        places: (n, 3) voxels of it, z, y, x.
        size: of the crop, in voxels.
    """
    middles = (2 * places + 1) / torch.tensor(size) - 1
    found = []
    for stage in stages:
        at = middles.flip(1).view(1, 1, 1, -1, 3).to(stage)
        values = F.grid_sample(stage, at, padding_mode="border", align_corners=False)
        found.append(values[0, :, 0, 0].T)
    return torch.cat(found, 1)
