"""A linear classifier of voxels on frozen features, and its Dice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.crops import LabelledCrop
from ssl3d.measure.probe.sites import mean_dice, present_values, site_rows, stages_of
from ssl3d.precision import double

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
    values = present_values((*fit, *test))
    if len(values) < 2:
        return {}
    features, labels = site_rows(encoder, fit, sites=sites)
    numbers = torch.searchsorted(values, labels.cpu())
    weight, bias = fit_linear(features, labels=numbers, classes=len(values))
    guesses = (
        predict(stages_of(encoder, crop), weight=weight, bias=bias, size=crop.labels.shape).argmax(
            0
        )
        for crop in test
    )
    return mean_dice(guesses, test=test, values=values)


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
