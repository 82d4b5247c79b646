"""Crops of prepared volumes. Each one is a pure function of (seed, index)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ssl3d.data.augment.changes import Augment
from ssl3d.data.augment.crop import Crop
from ssl3d.data.augment.placement import crop_at
from ssl3d.data.bad import BadFilePolicy
from ssl3d.data.box import around, bounds, cut
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.present import present_of
from ssl3d.data.sampling import Draws
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volume import Volume, Volumes
from ssl3d.geometry import Triple
from ssl3d.streams import Stream, generator

Made = TypeVar("Made")


class CropDataset(Dataset[dict[str, Any]]):
    """Endless training crops: `dataset[index]` for any index from 0.

    Every pass over the samples visits each one once, or as often as its share says, in an order of
    its own. A sample that cannot be used is replaced by the next of its pass. Where `spec.augment`
    says so a crop is turned and scaled, all channels alike, and then the intensities of each
    channel are changed by themselves.

    A crop is a dict: `volume` float32 (C, *extent), 0 where not valid; `valid` bool (*extent),
    False for padding and for voxels that are not finite in the file; `present` bool (C,), False for
    channels that the sample lacks; `index` int; `source` str.

    Args:
        sources: samples.
        spec: how they are prepared, and where crops lie.
        seed: of crops and their order, from 0.
        store: gives the prepared volumes.
        policy: for samples that cannot be used.
        extent: size of the crops, in voxels; none: `spec.patch`.
        shares: of the crops that are of each sample, see `Draws`; none: all alike.

    Raises:
        DataError: on access, where the policy for bad files says so.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        spec: DataSpec,
        seed: int,
        store: Volumes,
        policy: BadFilePolicy,
        extent: Triple | None = None,
        shares: Sequence[float] | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}: give a number from 0")
        self._sources = tuple(sources)
        self._draws = Draws([1.0] * len(sources) if shares is None else shares, seed=seed)
        self._spec = spec
        self._seed = seed
        self._store = store
        self._policy = policy
        self._extent = spec.patch if extent is None else extent
        self._augment = Augment(spec.augment, patch=self._extent)

    def __getitem__(self, index: int) -> dict[str, Any]:
        _, sample = first_usable(
            [self._sources[i] for i in self._draws(index)],
            make=partial(self._sample, index=index),
            policy=self._policy,
        )
        return sample

    def _sample(self, source: Source, *, index: int) -> dict[str, Any]:
        volume = self._store.volume(source)
        random = generator(self._seed, Stream.PLACE, index)
        corner = self._corner(volume, random)
        flipped = (torch.rand(3, generator=random) < 0.5).tolist()
        axes = tuple(a for a in range(3) if self._spec.flips[a] and flipped[a])
        if not self._spec.augment.any:
            crop = cut(volume, corner=corner, patch=self._extent)
            return as_sample(np.flip(crop, tuple(a + 1 for a in axes)), index=index, source=source)
        changed = self._changed(volume, corner=corner, source=source, index=index)
        return {
            "volume": changed.volume.flip([a + 1 for a in axes]),
            "valid": changed.valid.flip(axes),
            "present": present_of(source, channels=len(changed.volume)),
            "index": index,
            "source": source.name,
        }

    def _changed(
        self, volume: Volume, *, corner: Sequence[int], source: Source, index: int
    ) -> Crop:
        """Crop `index` with other intensities and, with all channels alike, turned and scaled."""

        def random(*numbers: int) -> torch.Generator:
            return generator(self._seed, Stream.AUGMENT, index, *numbers)

        spacing = self._store.spacing(source) if self._spec.augment.moves else (1.0, 1.0, 1.0)
        placement = self._augment.placement(random(0), spacing=spacing)
        crop = crop_at(volume, corner=corner, placement=placement, labelled=False)
        channels = list(crop.volume)
        for number in set(range(len(channels))) - set(source.lacking):
            one = Crop(channels[number][None], crop.valid, None)
            (channels[number],) = self._augment.intensities(one, random(1, number)).volume
        return Crop(torch.stack(channels), crop.valid, None)

    def _corner(self, volume: Volume, random: torch.Generator) -> list[int]:
        def whole(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=random))

        edges, patch = volume.shape[1:], self._extent
        if float(torch.rand((), generator=random)) >= self._spec.foreground.share:
            ranges = [bounds(edge, size) for edge, size in zip(edges, patch, strict=True)]
            return [whole(low, high) for low, high in ranges]
        points = volume.points
        point = points[whole(0, len(points) - 1)]
        # A quarter of a patch of play: the voxel stays inside, the places outnumber the points.
        play = [whole(-(size // 4), size // 4) for size in patch]
        return around(point + np.array(play), edges=edges, patch=patch)


def as_sample(crop: NDArray[np.float32], *, index: int, source: Source) -> dict[str, Any]:
    """Turn the NaN marks of a (C, *patch) crop into `valid`; see `CropDataset`."""
    values: Tensor = torch.from_numpy(np.ascontiguousarray(crop))
    valid = torch.isfinite(values).all(dim=0)
    return {
        "volume": values.masked_fill_(~valid, 0.0),
        "valid": valid,
        "present": present_of(source, channels=len(values)),
        "index": index,
        "source": source.name,
    }


def first_usable(
    candidates: Sequence[Source], *, make: Callable[[Source], Made], policy: BadFilePolicy
) -> tuple[Source, Made]:
    """The first that can be used, and what is made of it; those before it are told to `policy`.

    Raises:
        DataError: none can be used, or the policy says so.
    """
    for source in candidates:
        try:
            return source, make(source)
        except BadVolume as error:
            policy.handle(error, source=source)
    raise DataError(f"data: none of {len(candidates)} samples can be used:\n{policy.summary()}")
