"""A batch whose voxels cross to a device in half precision."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from ssl3d.kinds.batch import Batch, ViewBatch


class HalfBatch:
    """A `Batch` on its way: `to` gives it back, its voxels rounded to float16.

    Two bytes a voxel and channel cross, and nothing for what is valid: NaN stands where a voxel is
    not. A model that computes in float16 sees the same bits; bfloat16, which has 8 bits where
    float16 has 11, rounds a few of a hundred voxels the other way. Targets of the loss have the
    rounding of float16, an eighth of that of a prediction in bfloat16.

    Args:
        batch: with voxels in half precision, NaN where not valid.
        padded: for each level of views, True where some voxel is not valid.
    """

    __slots__ = ("batch", "padded")

    def __init__(self, batch: Batch, padded: tuple[bool, ...]) -> None:
        self.batch = batch
        self.padded = padded

    @property
    def samples(self) -> tuple[int, ...]:
        """Number of each sample."""
        return self.batch.samples

    @property
    def sources(self) -> tuple[str, ...]:
        """Where each sample was cut from."""
        return self.batch.sources

    def __len__(self) -> int:
        return len(self.batch)

    def pin_memory(self) -> HalfBatch:
        """The same in pinned memory."""
        return HalfBatch(self.batch.pin_memory(), self.padded)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device, its voxels in single precision; levels share what they shared."""
        there = self.batch.to(device)
        whole: dict[int, tuple[Tensor, Tensor | None]] = {}
        for view, padded in zip(there.views, self.padded, strict=True):
            if id(view.volume) not in whole:
                whole[id(view.volume)] = _whole(view.volume, padded=padded)
        return _with_voxels(there, lambda view: whole[id(view.volume)])


def halved(batch: Batch) -> Batch | HalfBatch:
    """The batch with its voxels in half precision; itself where one is too large for that."""
    made: dict[tuple[int, int], Tensor] = {}
    for view in batch.views:
        key = id(view.volume), id(view.valid)
        if key in made:
            continue
        made[key] = view.volume.half()
        least, most = made[key].aminmax()  # twenty times as quick as asking each
        if not (bool(least.isfinite()) and bool(most.isfinite())):
            return batch
        if view.valid is not None:
            made[key].masked_fill_(~view.valid[:, None], torch.nan)
    padded = tuple(view.valid is not None for view in batch.views)
    return HalfBatch(
        _with_voxels(batch, lambda view: (made[id(view.volume), id(view.valid)], None)), padded
    )


def _whole(half: Tensor, *, padded: bool) -> tuple[Tensor, Tensor | None]:
    volume = half.float()
    if not padded:
        return volume, None
    valid = ~volume[:, 0].isnan()
    return volume.where(valid[:, None], 0), valid


def _with_voxels(
    batch: Batch, voxels: Callable[[ViewBatch], tuple[Tensor, Tensor | None]]
) -> Batch:
    """The same batch with other volumes and valid voxels."""
    other = copy.copy(batch)
    other.views = tuple(copy.copy(view) for view in batch.views)
    for view in other.views:
        view.volume, view.valid = voxels(view)
    return other
