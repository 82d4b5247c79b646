"""Classes of cases read off their pooled frozen features: linear, and by the nearest neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.kinds.backbone import Backbone
from ssl3d.measure.probe.linear import fit_linear
from ssl3d.measure.probe.neighbours import NEIGHBOURS, neighbour_votes


@torch.no_grad()
def case_features(
    encoder: Backbone, volumes: Tensor, *, valid: Tensor | None, at_once: int = 1
) -> Tensor:
    """(C,): every stage's mean over the valid sites of all crops of a case.

    Args:
        encoder: in evaluation mode.
        volumes: (R, channels, D, H, W), crops of the case.
        valid: (R, D, H, W) bool; None where all voxels are valid.
        at_once: crops that are computed at once.
    """
    device = next(encoder.parameters()).device
    shown = torch.ones(len(volumes), *volumes.shape[2:]) if valid is None else valid.float()
    sums: list[Tensor] = []
    weights: list[Tensor] = []
    for part, seen in zip(torch.split(volumes, at_once), torch.split(shown, at_once), strict=True):
        maps = [stage.float() for stage in encoder(part.to(device)) if isinstance(stage, Tensor)]
        for i, stage in enumerate(maps):
            d, h, w = stage.shape[2:]
            share = F.adaptive_avg_pool3d(seen[:, None].to(device), (d, h, w))
            total, weight = (stage * share).sum((0, 2, 3, 4)), share.sum()
            if i == len(sums):
                sums.append(total)
                weights.append(weight)
            else:
                sums[i], weights[i] = sums[i] + total, weights[i] + weight
    return torch.cat([s / w.clamp(min=1e-6) for s, w in zip(sums, weights, strict=True)]).cpu()


def class_probabilities(
    features: Tensor,
    *,
    labels: Tensor,
    queries: Tensor,
    classes: int,
    neighbours: int = NEIGHBOURS,
) -> dict[str, Tensor]:
    """Probabilities (m, K) of queries, by `linear` and `knn`; NaN where labels are all alike.

    Args:
        features: (n, C) of the cases that are fitted.
        labels: (n,) class, NaN where nobody knows: such cases teach nothing.
        queries: (m, C).
        classes: K.
        neighbours: that vote.
    """
    known = ~labels.isnan()
    if len(set(labels[known].tolist())) < 2:
        return {name: torch.full((len(queries), classes), math.nan) for name in ("linear", "knn")}
    rows, numbers = features[known], labels[known].long()
    weight, bias = fit_linear(rows, labels=numbers, classes=classes)
    votes = neighbour_votes(
        queries, among=rows, labels=numbers, classes=classes, neighbours=neighbours
    )
    return {"linear": (queries @ weight.T + bias).softmax(1), "knn": votes}


def probability_rows(
    found: Sequence[Tensor], *, targets: Tensor, outputs: Sequence[str], one_class: bool
) -> list[dict[str, float]]:
    """Rows for the summaries of `ssl3d.measure.discrimination`.

    Args:
        found: probabilities (m, K) of the classes, or (m, 2) of each label.
        targets: (m, columns).
        outputs: names of the classes or labels.
        one_class: True where a case has exactly one of several classes.
    """
    rows = []
    for i, target in enumerate(targets.tolist()):
        if one_class:
            row = {f"probability/{n}": float(p) for n, p in zip(outputs, found[0][i], strict=True)}
            rows.append({"target": target[0], **row})
            continue
        pairs = zip(outputs, found, strict=True)
        row = {f"probability/{name}": float(each[i, 1]) for name, each in pairs}
        rows.append(row | {f"target/{n}": t for n, t in zip(outputs, target, strict=True)})
    return rows
