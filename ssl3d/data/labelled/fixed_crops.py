"""Crops that cases are measured by: the same in every run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ssl3d.data.augment.placement import Placement, crop_at
from ssl3d.data.box import around
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.crop import LabelledSample
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.store import VolumeStore
from ssl3d.data.volume import Volume
from ssl3d.geometry import Triple


class FixedCrops(Dataset[LabelledSample]):
    """The same crops of each case in every run, unchanged: `dataset[number]`, a sample a case.

    They are `data.evaluation_crops`: tiles that cover the volume, or so many, the first in the
    middle of what is labelled (for targets, of the foreground), the others on voxels of it. Finds
    play no part: nobody knows them in what a model will be used on.

    Args:
        cases: to measure.
        data: which crops.
        patch: their size; none: the whole prepared volume.
        store: gives the prepared volume of `Case.source`.

    Raises:
        BadVolume: on access, where a case cannot be used.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        data: LabelledData,
        patch: Triple | None,
        store: VolumeStore,
    ) -> None:
        self._cases = tuple(cases)
        self._data = data
        self._patch = patch
        self._store = store

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, number: int) -> LabelledSample:
        case = self._cases[number]
        labelled = case.label is not None
        volume = self._store.volume(case.source)
        d, h, w = volume.shape[1:]
        patch = (d, h, w) if self._patch is None else self._patch
        crops = tuple(
            crop_at(volume, corner=corner, placement=Placement(patch), labelled=labelled)
            for corner in self._corners(volume, patch)
        )
        targets = None if labelled else torch.tensor(case.targets)
        return LabelledSample(crops, targets, number=number, source=case.name, spacing=case.spacing)

    def _corners(self, volume: Volume, patch: Triple) -> list[list[int]]:
        edges, count = volume.shape[1:], self._data.evaluation_crops
        if count == "tiles" or self._patch is None:
            return tiles(edges, patch)
        points = volume.points[:, :3]
        if not len(points):
            return [around(np.array(edges) // 2, edges=edges, patch=patch)]
        middle = points.mean(axis=0).round().astype(int)
        # Points lie class by class: evenly spread ones are of all classes.
        others = [points[(2 * i + 1) * len(points) // (2 * count)] for i in range(count - 1)]
        return [around(centre, edges=edges, patch=patch) for centre in (middle, *others)]


def tiles(edges: Sequence[int], patch: Triple) -> list[list[int]]:
    """Corners of the fewest crops that cover a volume, evenly spread.

    A crop that is larger than the volume is centred on it, as a window of prediction is.
    """
    starts = []
    for edge, size in zip(edges, patch, strict=True):
        count = math.ceil(edge / size)
        last = edge - size
        starts.append(
            [-(-last // 2)] if count == 1 else [round(i * last / (count - 1)) for i in range(count)]
        )
    return [list(corner) for corner in itertools.product(*starts)]
