"""Batches of a run: views of its crops, made in loading processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import Dataset

from ssl3d.data.collate import Sample, collate
from ssl3d.data.half_batch import HalfBatch, halved
from ssl3d.data.loader import CropLoader
from ssl3d.data.sampler import ResumableSampler
from ssl3d.data.viewed import ViewedCrops
from ssl3d.data.volumes import RunVolumes
from ssl3d.kinds.batch import Batch
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.views import Views
from ssl3d.streams import Seeds, Stream


class Batches:
    """Training and held-out batches of some volumes.

    Args:
        volumes: found and split.
        views: that are made of each crop.
        masker: draws what is hidden of them.
        seed: of crops, their order and what is hidden.
        half: True sends the voxels of training batches in half precision (`HalfBatch`).
    """

    def __init__(
        self,
        volumes: RunVolumes,
        *,
        views: Views,
        masker: Masker,
        seed: int,
        half: bool = False,
    ) -> None:
        self.volumes = volumes
        self.views = views
        self.masker = masker
        self.seed = seed
        self.half = half

    def training(self, *, start: int = 0, rank: int = 0, world: int = 1) -> CropLoader:
        """Endless batches of this rank.

        Args:
            start: crops that all ranks together have consumed: a resumed run goes on where it
                stopped.
            rank: this one, from 0.
            world: how many there are.
        """
        spec = self.volumes.spec
        crops = self.volumes.training_crops(seed=self.seed, extent=self.views.extent)
        return CropLoader(
            self._viewed(crops, seeds=partial(_training_seeds, self.seed)),
            batch_size=spec.batch_size,
            sampler=ResumableSampler(
                batch_size=spec.batch_size, rank=rank, world=world, start=start
            ),
            workers=self.volumes.workers,
            collate=partial(_halved, self._joined) if self.half else self._joined,
        )

    def held_out(self, *, rank: int = 0, world: int = 1) -> CropLoader:
        """This rank's held-out crops, every `world`-th, in batches of one, made in this process.

        What is measured of a crop depends on no other crop, nor on `data.batch_size`.
        """
        crops = self.volumes.held_out_crops(extent=self.views.extent)
        return CropLoader(
            self._viewed(crops, seeds=_held_out_seeds),
            batch_size=1,
            sampler=range(rank, len(crops), world),
            workers=0,
            collate=self._joined,
        )

    def _viewed(
        self, crops: Dataset[dict[str, Any]], *, seeds: Callable[[Any], Seeds]
    ) -> ViewedCrops:
        return ViewedCrops(crops, views=self.views, masker=self.masker, seeds=seeds)

    @property
    def _joined(self) -> Callable[[list[Sample]], Batch]:
        """Without the volumes, which a process that is started anew would be sent twice."""
        return partial(collate, levels=self.views.levels, cell=self.views.cell)


def _halved(joined: Callable[[list[Sample]], Batch], samples: list[Sample]) -> Batch | HalfBatch:
    return halved(joined(samples))


def _training_seeds(seed: int, place: tuple[int, int]) -> Seeds:
    """Randomness of a training crop, by what `ResumableSampler` gives."""
    return Seeds(seed, *place)


def _held_out_seeds(number: int) -> Seeds:
    """Randomness of a held-out crop: its number's, in every run of the same views and masker."""
    return Seeds(0, sample=number, first=number, stream=Stream.HELD_OUT)
