"""Labelled cases as probes take them, and the numbers of an encoder on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ssl3d.data.labelled.batch import LabelledBatch, collate
from ssl3d.data.labelled.fixed_crops import FixedCrops
from ssl3d.data.labelled.split import Sides
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.geometry import Triple
from ssl3d.kinds.backbone import Backbone
from ssl3d.kinds.task_config import TaskConfig
from ssl3d.measure.discrimination import classes_summary, labels_summary
from ssl3d.measure.overlap import mean_of
from ssl3d.measure.probe import LabelledCrop, probe_dice
from ssl3d.measure.probe.cases import case_features, class_probabilities, probability_rows
from ssl3d.measure.probe.neighbours import neighbour_dice

Numbers = dict[str, dict[str, float]]
"""Of each method."""

FIT_SITES = 32 * 4096
"""Sites of all crops together, at most: as many as a probe within pre-training fits on by default.
"""


class Probed(Protocol):
    """Cases that encoders are probed on."""

    def measure(self, encoder: Backbone, *, neighbours: int) -> Numbers:
        """The numbers of an encoder, by `linear` and `knn`."""
        ...


class ProbedMaps:
    """A crop of each case, centred on what is labelled: `dice` and `dice/NAME`.

    Args:
        volumes: found and split.
        task: with labels of voxels.
        patch: size of the crops.
        sites: of each crop to fit on; fewer where there are many crops, see `FIT_SITES`.
    """

    def __init__(
        self, volumes: LabelledVolumes, *, task: TaskConfig, patch: Triple, sites: int
    ) -> None:
        self._names = tuple(task.legend())
        self._fit, self._test = (
            [_labelled(batch) for batch in _batches(volumes, side, patch=patch, crops=1)]
            for side in ("training", "testing")
        )
        self._sites = min(sites, max(1, FIT_SITES // len(self._fit)))

    def measure(self, encoder: Backbone, *, neighbours: int) -> Numbers:
        """See `Probed`."""
        given = {"fit": self._fit, "test": self._test, "sites": self._sites}
        found = {
            "linear": probe_dice(encoder, **given),  # type: ignore[arg-type]
            "knn": neighbour_dice(encoder, neighbours=neighbours, **given),  # type: ignore[arg-type]
        }
        numbers: Numbers = {}
        for method, dice in found.items():
            each = {f"dice/{self._names[value - 1]}": mean for value, mean in dice.items()}
            numbers[method] = {"dice": mean_of(each.values()), **each}
        return numbers


class ProbedCases:
    """The crops of each case, pooled: `auroc`, `auprc`, `balanced_accuracy`, and of each label.

    Args:
        volumes: found and split.
        task: with classes of cases.
        patch: size of the crops.
    """

    def __init__(self, volumes: LabelledVolumes, *, task: TaskConfig, patch: Triple) -> None:
        self._volumes, self._patch = volumes, patch
        self._outputs = task.outputs()
        self._one_class = task.column_classes() == self._outputs  # else labels, a column each
        self._weights = task.output_weights()
        sides: Sides = volumes.sides
        self._fit, self._test = (
            torch.tensor([case.targets for case in side])
            for side in (sides.training, sides.testing)
        )

    def measure(self, encoder: Backbone, *, neighbours: int) -> Numbers:
        """See `Probed`."""
        fit, test = (self._features(encoder, side) for side in ("training", "testing"))
        columns = range(self._fit.shape[1])
        each = [
            class_probabilities(
                fit,
                labels=self._fit[:, column],
                queries=test,
                classes=len(self._outputs) if self._one_class else 2,
                neighbours=neighbours,
            )
            for column in columns
        ]
        return {m: self._numbers([one[m] for one in each]) for m in ("linear", "knn")}

    def _features(self, encoder: Backbone, side: str) -> Tensor:
        batches = _batches(self._volumes, side, patch=self._patch, crops=None)
        return torch.stack([case_features(encoder, b.volume, valid=b.valid) for b in batches])

    def _numbers(self, found: Sequence[Tensor]) -> dict[str, float]:
        rows = probability_rows(
            found, targets=self._test, outputs=self._outputs, one_class=self._one_class
        )
        if self._one_class:
            summary: Mapping[str, float] = classes_summary(rows, classes=self._outputs)
        else:
            summary = labels_summary(rows, weights=self._weights)
        kept = ("auroc", "auprc", "balanced_accuracy", "accuracy")
        return {name: value for name, value in summary.items() if name.split("/")[0] in kept}


def _batches(
    volumes: LabelledVolumes, side: str, *, patch: Triple, crops: int | None
) -> list[LabelledBatch]:
    """Each case of a side as a batch of its fixed crops; None: as `data.evaluation_crops` says."""
    data = volumes.data
    if crops is not None:
        data = data.model_copy(update={"evaluation_crops": crops})
    every = FixedCrops(
        getattr(volumes.sides, side), data=data, patch=patch, store=volumes.fixed_store
    )
    return [collate([every[number]]) for number in range(len(every))]


def _labelled(batch: LabelledBatch) -> LabelledCrop:
    """What nobody labelled counts as not valid."""
    assert batch.labels is not None
    labels = batch.labels[0].long()
    known = labels >= 0
    valid = known if batch.valid is None else known & batch.valid[0]
    return LabelledCrop(batch.volume[0], valid, labels.clamp(min=0))
