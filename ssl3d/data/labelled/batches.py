"""Batches of labelled volumes."""

from __future__ import annotations

from typing import Literal

from ssl3d.data.labelled.augment_spec import AugmentSpec
from ssl3d.data.labelled.batch import collate
from ssl3d.data.labelled.crops import LabelledCrops
from ssl3d.data.labelled.fixed_crops import FixedCrops
from ssl3d.data.labelled.volumes import LabelledVolumes
from ssl3d.data.loader import CropLoader
from ssl3d.data.sampler import ResumableSampler
from ssl3d.geometry import Triple


class LabelledBatches:
    """Batches to learn from, to choose a checkpoint by and to test on.

    Args:
        volumes: found and split.
        patch: size of the crops.
        augment: how training crops are changed.
        seed: of crops, their order and their changes.
    """

    def __init__(
        self, volumes: LabelledVolumes, *, patch: Triple, augment: AugmentSpec, seed: int
    ) -> None:
        self.volumes = volumes
        self._patch = patch
        self._augment = augment
        self._seed = seed

    def training(self, *, start: int = 0, rank: int = 0, world: int = 1) -> CropLoader:
        """Endless batches (`LabelledBatch`) of this rank.

        Args:
            start: samples that all ranks together have consumed: a resumed run goes on where it
                stopped.
            rank: this one, from 0.
            world: how many there are.
        """
        volumes, data = self.volumes, self.volumes.data
        crops = LabelledCrops(
            volumes.sides.training,
            data=data,
            patch=self._patch,
            seed=self._seed,
            augment=self._augment,
            store=volumes.training_store,
            policy=volumes.policy,
        )
        sampler = ResumableSampler(batch_size=data.batch_size, rank=rank, world=world, start=start)
        return CropLoader(
            crops,
            batch_size=data.batch_size,
            sampler=sampler,
            workers=volumes.workers,
            collate=collate,
        )

    def fixed(
        self,
        side: Literal["choosing", "testing"],
        *,
        whole: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> CropLoader:
        """This rank's cases of a side, every `world`-th, one a batch, made in this process.

        Args:
            side: which.
            whole: True gives the whole prepared volume of each case, False its fixed crops.
            rank: this one, from 0.
            world: how many there are.
        """
        crops = FixedCrops(
            getattr(self.volumes.sides, side),
            data=self.volumes.data,
            patch=None if whole else self._patch,
            store=self.volumes.fixed_store,
        )
        return CropLoader(
            crops,
            batch_size=1,
            sampler=range(rank, len(crops), world),
            workers=0,
            collate=collate,
        )
