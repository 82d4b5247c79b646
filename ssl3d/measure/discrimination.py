"""How well probabilities tell cases apart: AUROC, AUPRC, balanced accuracy, confusion.

The rule for what is empty: cases without a target count nowhere, and a label of which the cases
have one side only, or of which nothing was learned (probabilities that are NaN), has no such number
(NaN, left out of means).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    binary_confusion_matrix,
    multiclass_confusion_matrix,
)

from ssl3d.measure.overlap import mean_of

THRESHOLD = 0.5
"""Above it a label is called present."""

NUMBERS = ("auroc", "auprc", "balanced_accuracy")


def binary_numbers(probability: Tensor, *, target: Tensor) -> dict[str, float]:
    """Numbers of one label.

    Args:
        probability: (n,); NaN where nothing was learned.
        target: (n,) 0 or 1, NaN where it is not known.

    Returns:
        `auroc`, `auprc`, `balanced_accuracy` at 0.5, and the counts `true_positive`,
        `false_positive`, `false_negative`, `true_negative`.
    """
    known = ~target.isnan()
    if probability[known].isnan().any():
        known = torch.zeros_like(known)
    guess, truth = probability[known], target[known].long()
    confusion = binary_confusion_matrix(guess, truth, threshold=THRESHOLD) if len(guess) else None
    names = ("true_negative", "false_positive", "false_negative", "true_positive")
    counts = [0.0] * 4 if confusion is None else [float(c) for c in confusion.flatten()]
    found = dict(zip(names, counts, strict=True))
    both = 0 < int(truth.sum()) < len(truth)
    positive = found["true_positive"] + found["false_negative"]
    negative = found["true_negative"] + found["false_positive"]
    return {
        "auroc": float(binary_auroc(guess, truth)) if both else math.nan,
        "auprc": float(binary_average_precision(guess, truth)) if both else math.nan,
        "balanced_accuracy": (
            (found["true_positive"] / positive + found["true_negative"] / negative) / 2
            if both
            else math.nan
        ),
        **found,
    }


def labels_summary(
    rows: Sequence[Mapping[str, float]], *, weights: Mapping[str, float]
) -> dict[str, float]:
    """Of several labels a case.

    Args:
        rows: with `probability/NAME` and `target/NAME` of each label.
        weights: of each label in the means.

    Returns:
        `auroc`, `auprc` and `balanced_accuracy`, means by the weights of the labels that have
        them; then the numbers of each label as `auroc/NAME`.
    """
    each = {
        name: binary_numbers(
            torch.tensor([row[f"probability/{name}"] for row in rows]),
            target=torch.tensor([row[f"target/{name}"] for row in rows]),
        )
        for name in weights
    }
    found: dict[str, float] = {}
    for number in NUMBERS:
        has = {name: one[number] for name, one in each.items() if not math.isnan(one[number])}
        total = sum(weights[name] for name in has)
        weighted = sum(weights[name] * value for name, value in has.items())
        found[number] = weighted / total if total else math.nan
    numbers = {f"{number}/{name}": v for name, one in each.items() for number, v in one.items()}
    return found | numbers


def classes_summary(
    rows: Sequence[Mapping[str, float]], *, classes: Sequence[str]
) -> dict[str, float]:
    """Of one class a case.

    Args:
        rows: with `probability/NAME` of each class, and `target`, the index of the class or NaN.
        classes: their names.

    Returns:
        `auroc` and `auprc`, means over classes against the rest; `balanced_accuracy`, the mean
        recall of the classes that there are; `accuracy`; `auroc/NAME`, `auprc/NAME`, and
        `confusion/TRUE/GUESSED`, counts.
    """
    known = [row for row in rows if not math.isnan(row["target"])]
    target = torch.tensor([int(row["target"]) for row in known], dtype=torch.long)
    guess = torch.tensor([[row[f"probability/{name}"] for name in classes] for row in known])
    guess = guess.view(len(known), len(classes))
    each = {
        name: binary_numbers(guess[:, i], target=(target == i).float())
        for i, name in enumerate(classes)
    }
    confusion = torch.zeros(len(classes), len(classes))
    if known and not guess.isnan().any():
        confusion = multiclass_confusion_matrix(guess, target, num_classes=len(classes)).float()
    recall = confusion.diagonal() / confusion.sum(1)
    ranked = ("auroc", "auprc")
    found = {number: mean_of(one[number] for one in each.values()) for number in ranked}
    found["balanced_accuracy"] = mean_of(recall.tolist())
    found["accuracy"] = float(confusion.trace() / confusion.sum())
    for name, one in each.items():
        found |= {f"{number}/{name}": one[number] for number in ranked}
    for i, name in enumerate(classes):
        for j, other in enumerate(classes):
            found[f"confusion/{name}/{other}"] = float(confusion[i, j])
    return found
