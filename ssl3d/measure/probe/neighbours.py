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
from ssl3d.measure.probe.sites import (
    mean_dice,
    present_values,
    site_features,
    site_rows,
    stages_of,
)
from ssl3d.streams import Stream, generator

NEIGHBOURS, TEMPERATURE = 20, 0.07
ROWS = 8192
"""Sites that neighbours are sought among, at most: more costs time in proportion."""

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

    Votes for the sites of the finest stage are interpolated to voxels.

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
    guesses = []
    for crop in test:
        stages = stages_of(encoder, crop)
        votes = neighbour_votes(
            site_features(stages),
            among=features[drawn],
            labels=known,
            classes=len(values),
            neighbours=neighbours,
        )
        grid = votes.T.reshape(1, len(values), *stages[0].shape[2:])
        full = F.interpolate(grid, size=tuple(crop.labels.shape), mode="trilinear")
        guesses.append(full[0].argmax(0))
    return mean_dice(guesses, test=test, values=values)


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
