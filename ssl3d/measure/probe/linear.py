"""A linear classifier of voxels on frozen features, and its Dice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.crops import LabelledCrop
from ssl3d.precision import double
from ssl3d.streams import Stream, generator

PENALTY = 1e-4
"""Weight of the squared norm of the classifier, which makes its optimum unique."""

ITERATIONS = 200


@torch.no_grad()
def probe_dice(
    encoder: Backbone,
    *,
    fit: Sequence[LabelledCrop],
    test: Sequence[LabelledCrop],
    sites: int,
) -> dict[int, float]:
    """Dice of each class above 0 on the test crops.

    A multinomial logistic regression is fitted on sites of the finest stage: each feature there is
    that of its own stage and of the coarser ones, interpolated. On the test crops its scores are
    interpolated to voxels; since both are linear, that is the classifier of interpolated features.

    Args:
        encoder: in evaluation mode; it is not changed.
        fit: crops to fit on.
        test: crops to test on.
        sites: of each crop to fit on, drawn the same way every time.

    Returns:
        Class to Dice, the mean over test crops that have the class.
    """
    device = next(encoder.parameters()).device
    present = torch.unique(torch.cat([torch.unique(crop.labels) for crop in (*fit, *test)]))
    # Background and what is present, as 0, 1, ...: FreeSurfer's 2035 costs no more than 2.
    values = torch.cat([present.new_zeros(1), present[present > 0]])
    classes = len(values)
    if classes < 2:
        return {}
    rows = [_sampled(encoder, crop, number=i, sites=sites) for i, crop in enumerate(fit)]
    features = torch.cat([row for row, _ in rows])
    labels = torch.searchsorted(values, torch.cat([label.cpu() for _, label in rows]))
    weight, bias = fit_linear(features, labels=labels, classes=classes)
    scores = []
    for crop in test:
        stages = _stages(encoder, crop)
        guess = predict(stages, weight=weight, bias=bias, size=crop.labels.shape).argmax(0)
        valid = crop.valid.to(device)
        truth = torch.searchsorted(values, crop.labels).to(device)
        scores.append(dice_of_classes(guess[valid], truth=truth[valid], classes=classes))
    means = torch.stack(scores).nanmean(0)[1:]
    pairs = zip(values[1:].tolist(), means.tolist(), strict=True)
    return {value: mean for value, mean in pairs if not math.isnan(mean)}


def dice_of_classes(guess: Tensor, *, truth: Tensor, classes: int) -> Tensor:
    """Dice of each class, (K,); NaN for a class that `truth` does not have.

    Args:
        guess: (n,) long, a class of each voxel.
        truth: (n,) long.
        classes: K.
    """
    both, guessed, true = (
        torch.bincount(found, minlength=classes).float()
        for found in (truth[guess == truth], guess, truth)
    )
    return torch.where(true > 0, 2 * both / (guessed + true), torch.nan)


def fit_linear(features: Tensor, *, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression of standardised features, by L-BFGS.

    Each class weighs by the inverse root of its share: unweighted, small structures are left to
    the background, and Dice says little.

    Args:
        features: (n, C).
        labels: (n,) long.
        classes: K.

    Returns:
        Weight (K, C) and bias (K,) for the features as they are.
    """
    device = features.device
    features = double(features)
    labels = labels.to(features.device)
    mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
    standard = (features - mean) / deviation
    weight = standard.new_zeros(classes, standard.shape[1], requires_grad=True)
    bias = standard.new_zeros(classes, requires_grad=True)
    importance = torch.bincount(labels, minlength=classes).clamp(min=1).double().rsqrt()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = F.cross_entropy(standard @ weight.T + bias, labels, weight=importance)
            loss = loss + PENALTY * weight.square().sum()
            torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    plain = weight.detach() / deviation
    shift = bias.detach() - plain @ mean
    return plain.float().to(device), shift.float().to(device)


def predict(
    stages: Sequence[Tensor], *, weight: Tensor, bias: Tensor, size: Sequence[int]
) -> Tensor:
    """Scores (K, D, H, W) from feature maps (1, C, ...), fine to coarse."""
    widths = [stage.shape[1] for stage in stages]
    finest = stages[0].shape[2:]
    scores = bias.view(1, -1, 1, 1, 1)
    for stage, part in zip(stages, torch.split(weight, widths, dim=1), strict=True):
        own = torch.einsum("kc,bczyx->bkzyx", part, stage)
        scores = scores + F.interpolate(own, size=finest, mode="trilinear")
    return F.interpolate(scores, size=tuple(size), mode="trilinear")[0]


def _stages(encoder: Backbone, crop: LabelledCrop) -> list[Tensor]:
    device = next(encoder.parameters()).device
    maps = encoder(crop.volume[None].to(device))
    return [stage.float() for stage in maps if isinstance(stage, Tensor)]


def _sampled(
    encoder: Backbone, crop: LabelledCrop, *, number: int, sites: int
) -> tuple[Tensor, Tensor]:
    """Features (n, C) and labels (n,) of valid sites of the finest stage."""
    stages = _stages(encoder, crop)
    finest = stages[0].shape[2:]
    full = [F.interpolate(stage, size=finest, mode="trilinear") for stage in stages]
    features = torch.cat(full, 1)[0].flatten(1).T
    # The voxel nearest to the middle of each site.
    steps = [edge // size for edge, size in zip(crop.labels.shape, finest, strict=True)]
    middle = tuple(slice(step // 2, None, step) for step in steps)
    places = crop.valid[middle].flatten().nonzero().flatten()
    random = generator(0, Stream.PROBE, number)
    places = places[torch.randperm(len(places), generator=random)[:sites]]
    labels = crop.labels[middle].flatten()[places]
    return features[places.to(features.device)], labels.to(features.device)
