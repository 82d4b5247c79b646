"""Fixed crops of held-out volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ssl3d.data.box import around, cut
from ssl3d.data.crops import as_sample
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volume import Volumes
from ssl3d.geometry import Triple


class HeldOutDataset(Dataset[dict[str, Any]]):
    """The same few crops of each held-out sample in every run, whatever the seed. They are
    neither flipped nor changed otherwise.

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
