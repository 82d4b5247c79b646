"""Training crops of labelled cases. Each one is a pure function of (seed, number)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ssl3d.data.augment.changes import Augment
from ssl3d.data.augment.placement import Placement, crop_at
from ssl3d.data.bad import BadFilePolicy
from ssl3d.data.box import around, bounds
from ssl3d.data.crops import first_usable
from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.crop import LabelledSample
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.store import VolumeStore
from ssl3d.data.volume import Volume
from ssl3d.geometry import Triple
from ssl3d.streams import Stream, generator


class LabelledCrops(Dataset[LabelledSample]):
    """Endless training samples: `dataset[place]`, place a number from 0, or what a
    `ResumableSampler` gives.

    Every pass over the cases visits each one once, in an order of its own.

    Args:
        cases: to learn from.
        data: where crops lie.
        patch: their size.
        seed: of crops, their order and their changes, from 0.
        augment: how they are changed.
        store: gives the prepared volume of `Case.source`.
        policy: for cases that cannot be used; where it lets the run go on, the next takes their
            place.

    Raises:
        DataError: on access, where the policy says so.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        *,
        data: LabelledData,
        patch: Triple,
        seed: int,
        augment: AugmentSpec,
        store: VolumeStore,
        policy: BadFilePolicy,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}: give a number from 0")
        self._cases = tuple(cases)
        self._by_source = {case.source: case for case in cases}
        self._data = data
        self._patch = patch
        self._seed = seed
        self._augment = Augment(augment, patch=patch, flips=augment.flips)
        self._store = store
        self._policy = policy

    def __getitem__(self, place: Any) -> LabelledSample:
        number = place[0] if isinstance(place, tuple) else place
        order, start = divmod(number, len(self._cases))
        random = generator(self._seed, Stream.ORDER, order)
        candidates = torch.randperm(len(self._cases), generator=random).roll(-start).tolist()
        source, volume = first_usable(
            [self._cases[i].source for i in candidates],
            make=self._store.volume,
            policy=self._policy,
        )
        case = self._by_source[source]
        labelled = case.label is not None
        crops, shown = [], np.zeros(len(case.points), dtype=bool)
        for one in range(self._data.crops):
            random = generator(self._seed, Stream.PLACE, number, one)
            corner = self._corner(case, volume, random, first=one == 0)
            random = generator(self._seed, Stream.AUGMENT, number, one)
            placement = self._augment.placement(random, spacing=case.spacing)
            seen = _shown(case, corner=corner, placement=placement)
            if one == 0 and _shows_one(case) and not seen.any():
                # At a corner of the volume the turn took it out of the crop.
                placement = replace(placement, turn=None)
                seen = _shown(case, corner=corner, placement=placement)
            region = crop_at(volume, corner=corner, placement=placement, labelled=labelled)
            crops.append(self._augment.intensities(region, random))
            shown |= seen
        targets = None if labelled else _targets_of(case, shown=shown)
        return LabelledSample(
            tuple(crops), targets, number=number, source=case.name, spacing=case.spacing
        )

    def _corner(
        self, case: Case, volume: Volume, random: torch.Generator, *, first: bool
    ) -> list[int]:
        def whole(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=random))

        edges, patch = volume.shape[1:], self._patch
        to_find, to_foreground = torch.rand(2, generator=random).tolist()
        centre: NDArray[Any] | None = None
        wanted = first and _shows_one(case)
        if wanted or (case.points and to_find < self._data.point_share):
            centre = np.rint(case.points[whole(0, len(case.points) - 1)].place).astype(int)
        elif to_foreground < self._data.foreground_share:
            centre = _foreground(volume, pick=lambda among: whole(0, among - 1))
        if centre is None:
            ranges = [bounds(edge, size) for edge, size in zip(edges, patch, strict=True)]
            return [whole(low, high) for low, high in ranges]
        # A quarter of a patch of play: the voxel stays inside, the places outnumber the points.
        play = [whole(-(size // 4), size // 4) for size in patch]
        return around(centre + np.array(play), edges=edges, patch=patch)


def _foreground(volume: Volume, *, pick: Any) -> NDArray[np.int32] | None:
    """A voxel of the foreground; of a label map, of a class that is picked first."""
    points = volume.points
    if points.shape[1] == 4 and len(points):
        present = np.unique(points[:, 3])
        points = points[points[:, 3] == present[pick(len(present))]]
    return points[pick(len(points))][:3] if len(points) else None


def _shows_one(case: Case) -> bool:
    """True where a sample shows one find at least: a target is the case's, and no find has one of
    its own, so the case has it for what its finds are.
    """
    if case.label is not None or not case.points:
        return False
    columns = zip(*(point.targets for point in case.points), strict=True)
    return not case.targets or any(all(one is None for one in own) for own in columns)


def _shown(case: Case, *, corner: Sequence[int], placement: Placement) -> NDArray[np.bool_]:
    """Which of the case's finds a crop shows."""
    middle = np.array(corner) + (np.array(placement.patch) - 1) / 2
    return np.array(
        [placement.holds(np.array(point.place) - middle) for point in case.points], bool
    )


def _targets_of(case: Case, *, shown: NDArray[np.bool_]) -> Tensor:
    """Targets of some crops of a case.

    Where its finds have targets of their own, the largest of those that are shown; 0 where none is,
    for what the case has lies elsewhere, NaN where nobody knows what it has. Else the case's.
    """
    values = list(case.targets)
    for column in range(len(values)):
        own = [point.targets[column] if point.targets else None for point in case.points]
        if all(one is None for one in own):
            continue
        seen = [one for one, there in zip(own, shown, strict=True) if there and one is not None]
        nothing = math.nan if seen or math.isnan(values[column]) else 0.0
        values[column] = max((v for v in seen if not math.isnan(v)), default=nothing)
    return torch.tensor(values, dtype=torch.float32)
