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

from ssl3d.data.bad import BadFilePolicy
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volume import Volume, Volumes
from ssl3d.geometry import Triple
from ssl3d.streams import Stream, generator

Made = TypeVar("Made")


class CropDataset(Dataset[dict[str, Any]]):
    """Endless training crops: `dataset[index]` for any index from 0.

    Every pass over the samples visits each one once, in an order of its own. A sample that cannot
    be used is replaced by the next of its pass.

    A crop is a dict: `volume` float32 (C, *extent), 0 where not valid; `valid` bool (*extent),
    False for padding and for voxels that are not finite in the file; `index` int; `source` str.

    Args:
        sources: samples.
        spec: how they are prepared, and where crops lie.
        seed: of crops and their order, from 0.
        store: gives the prepared volumes.
        policy: for samples that cannot be used.
        extent: size of the crops, in voxels; none: `spec.patch`.

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
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed is {seed}: give a number from 0")
        self._sources = tuple(sources)
        self._spec = spec
        self._seed = seed
        self._store = store
        self._policy = policy
        self._extent = spec.patch if extent is None else extent

    def __getitem__(self, index: int) -> dict[str, Any]:
        order, place = divmod(index, len(self._sources))
        random = generator(self._seed, Stream.ORDER, order)
        candidates = torch.randperm(len(self._sources), generator=random).roll(-place).tolist()
        source, crop = first_usable(
            [self._sources[i] for i in candidates],
            make=partial(self._crop, index=index),
            policy=self._policy,
        )
        return as_sample(crop, index=index, source=source)

    def _crop(self, source: Source, *, index: int) -> NDArray[np.float32]:
        volume = self._store.volume(source)
        random = generator(self._seed, Stream.PLACE, index)
        corner = self._corner(volume, random)
        crop = cut(volume, corner=corner, patch=self._extent)
        flipped = (torch.rand(3, generator=random) < 0.5).tolist()
        axes = tuple(a + 1 for a in range(3) if self._spec.flips[a] and flipped[a])
        return np.flip(crop, axes)

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


class HeldOutDataset(Dataset[dict[str, Any]]):
    """The same few crops of each held-out sample in every run, whatever the seed; no flips.

    The first crop of a sample is centred on the middle of its foreground, the others on foreground
    voxels. Crops are dicts as those of `CropDataset`.

    Raises:
        BadVolume: on access, where a volume cannot be used: `RunVolumes.read_held_out` leaves those
            out. No other takes its place, or its numbers would be those of the other.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        spec: DataSpec,
        store: Volumes,
        extent: Triple | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._spec = spec
        self._store = store
        self._extent = spec.patch if extent is None else extent

    def __len__(self) -> int:
        return len(self._sources) * self._spec.holdout_crops

    def __getitem__(self, index: int) -> dict[str, Any]:
        source, corner = self.place(index)
        crop = cut(self._store.volume(source), corner=corner, patch=self._extent)
        return as_sample(crop, index=index, source=source)

    def place(self, index: int) -> tuple[Source, list[int]]:
        """Where crop `index` is cut: the sample, and the corner (z, y, x) in its prepared volume.

        The corner is negative where the crop begins in padding.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index}: there are {len(self)} held-out crops")
        place, number = divmod(index, self._spec.holdout_crops)
        source = self._sources[place]
        volume = self._store.volume(source)
        points = volume.points
        middle = points.mean(axis=0).round().astype(np.int32)
        centre = middle if number == 0 else points[number % len(points)]
        return source, around(centre, edges=volume.shape[1:], patch=self._extent)


def bounds(edge: int, size: int) -> tuple[int, int]:
    """Smallest and largest start of a window of `size` on an axis of `edge` voxels.

    A window that is larger than the axis starts before it and always covers it.
    """
    return min(0, edge - size), max(0, edge - size)


def around(point: NDArray[Any], *, edges: Sequence[int], patch: Sequence[int]) -> list[int]:
    """Corner (z, y, x) of the patch centred on `point`, moved as little as the borders need."""
    corner = []
    for place, edge, size in zip(point, edges, patch, strict=True):
        low, high = bounds(edge, size)
        corner.append(min(max(int(place) - size // 2, low), high))
    return corner


def cut(volume: Volume, *, corner: Sequence[int], patch: Sequence[int]) -> NDArray[np.float32]:
    """Box (C, *patch) from `corner` (z, y, x), NaN outside the volume."""
    channels, *edges = volume.shape
    low = [max(c, 0) for c in corner]
    high = [min(c + size, edge) for c, size, edge in zip(corner, patch, edges, strict=True)]
    inside = volume.read(low, [last - first for first, last in zip(low, high, strict=True)])
    crop = np.full((channels, *patch), np.nan, dtype=np.float32)
    start = [first - c for first, c in zip(low, corner, strict=True)]
    target = (slice(s, s + size) for s, size in zip(start, inside.shape[1:], strict=True))
    crop[(slice(None), *target)] = inside
    return crop


def as_sample(crop: NDArray[np.float32], *, index: int, source: Source) -> dict[str, Any]:
    """Turn the NaN marks of a (C, *patch) crop into `valid`; see `CropDataset`."""
    values: Tensor = torch.from_numpy(np.ascontiguousarray(crop))
    valid = torch.isfinite(values).all(dim=0)
    return {
        "volume": values.masked_fill_(~valid, 0.0),
        "valid": valid,
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
