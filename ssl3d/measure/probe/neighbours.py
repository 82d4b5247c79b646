"""Classification by the nearest neighbours among frozen features, and its Dice.

Votes are weighted by exp(cosine / 0.07), as in Wu et al. 2018 (arXiv 1805.01978) and DINO.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.crops import LabelledCrop
from ssl3d.measure.probe.queries import drawn_voxels, features_at
from ssl3d.measure.probe.sites import (
    dice_of_classes,
    mean_over_crops,
    present_values,
    site_rows,
    stages_of,
)
from ssl3d.streams import Stream, generator

NEIGHBOURS, TEMPERATURE = 20, 0.07
ROWS = 8192
"""Sites that neighbours are sought among, at most: more costs time in proportion."""

VOXELS = 131072
"""Voxels of all test crops together that are looked up, at most."""

CHUNK = 4096
"""Queries at once."""


@torch.no_grad()
def neighbour_dice(
    encoder: Backbone,
    *,
    fit: Sequence[LabelledCrop],
    test: Sequence[LabelledCrop],
    sites: int,
    neighbours: int = NEIGHBOURS,
) -> dict[int, float]:
    """Dice of each class above 0 on the test crops, the mean over crops that have it.

    Neighbours are sites of the training crops. Looked up are voxels of the test crops, all or as
    many as `VOXELS` allows, with the features of each stage interpolated there; see
    `drawn_voxels` for which.

    Args:
        encoder: in evaluation mode; it is not changed.
        fit: crops whose sites are the neighbours; of all at most 8192 are drawn.
        test: crops to test on.
        sites: of each crop that are drawn from, the same way every time.
        neighbours: that vote.
    """
    values = present_values((*fit, *test))
    if len(values) < 2:
        return {}
    features, labels = site_rows(encoder, fit, sites=sites)
    drawn = torch.randperm(len(features), generator=generator(0, Stream.PROBE, len(fit)))[:ROWS]
    drawn = drawn.to(features.device)
    known = torch.searchsorted(values, labels[drawn].cpu()).to(features.device)
    scores = []
    for number, crop in enumerate(test):
        random = generator(0, Stream.PROBE, len(fit) + 1 + number)
        places, weights = drawn_voxels(crop, at_most=max(1, VOXELS // len(test)), random=random)
        votes = neighbour_votes(
            features_at(stages_of(encoder, crop), places=places, size=crop.labels.shape),
            among=features[drawn],
            labels=known,
            classes=len(values),
            neighbours=neighbours,
        )
        truth = torch.searchsorted(values, crop.labels[places.unbind(1)])
        guess = votes.argmax(1).cpu()
        scores.append(dice_of_classes(guess, truth=truth, classes=len(values), weights=weights))
    return mean_over_crops(scores, values=values)


def neighbour_votes(
    queries: Tensor, *, among: Tensor, labels: Tensor, classes: int, neighbours: int = NEIGHBOURS
) -> Tensor:
    """Share of each class in the votes of the nearest, (m, K).

    Features are standardised by the mean and deviation of `among`, then compared by their cosine:
    stages of different scales count alike.

    Args:
        queries: (m, C).
        among: (n, C).
        labels: (n,) long, of these.
        classes: K.
        neighbours: that vote; all, where there are fewer.
    """
    mean, deviation = among.mean(0), among.std(0, correction=0).clamp(min=1e-6)
    keys = F.normalize((among - mean) / deviation, dim=1)
    one_hot = F.one_hot(labels, classes).to(keys.dtype)
    found = []
    for part in torch.split(queries, CHUNK):
        cosines = F.normalize((part - mean) / deviation, dim=1) @ keys.T
        near, places = cosines.topk(min(neighbours, len(keys)), dim=1)
        weights = (near / TEMPERATURE).softmax(1)
        found.append((weights[..., None] * one_hot[places]).sum(1))
    return torch.cat(found)
