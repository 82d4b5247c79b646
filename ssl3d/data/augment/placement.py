"""Where a changed crop lies, and how it is cut: image, valid voxels and labels together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms.spatial.array import Affine
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.data.augment.crop import Crop, plain_tensor
from ssl3d.data.box import cut
from ssl3d.data.volume import Volume
from ssl3d.geometry import Triple
from ssl3d.kinds.task import IGNORE


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a changed crop lies in its volume.

    Attributes:
        patch: its size.
        turn: (3, 3) from voxels of the crop to voxels of the volume, both counted from the middle;
            None: the crop is a box of the volume.
        flips: axes that are turned round.
    """

    patch: Triple
    turn: NDArray[np.float64] | None = None
    flips: tuple[int, ...] = ()

    @property
    def margin(self) -> tuple[int, int, int]:
        """Voxels around the patch that the crop is made of, on either side of each axis."""
        if self.turn is None:
            return (0, 0, 0)
        half = (np.array(self.patch) - 1) / 2
        beyond = np.abs(self.turn) @ half - half
        d, h, w = (max(0, math.ceil(edge - 1e-6)) for edge in beyond)
        return (d, h, w)

    def holds(self, offset: NDArray[np.float64]) -> bool:
        """True where the crop shows a place, `offset` (3,) voxels of the volume from its middle."""
        own = offset if self.turn is None else np.linalg.solve(self.turn, offset)
        return bool((np.abs(own) <= np.array(self.patch) / 2).all())

    def __call__(self, region: Crop) -> Crop:
        """The crop, from a box of the volume with a margin around the patch.

        The image is interpolated, labels are those of the nearest voxel; a voxel is valid where all
        that it is made of are.
        """
        crop = region if self.turn is None else self._turned(region, self.turn)
        if not self.flips:
            return crop
        labels = None if crop.labels is None else crop.labels.flip(self.flips)
        volume = crop.volume.flip([axis + 1 for axis in self.flips])
        return Crop(volume, crop.valid.flip(self.flips), labels)

    def _turned(self, region: Crop, turn: NDArray[np.float64]) -> Crop:
        affine = np.eye(4)
        affine[:3, :3] = turn

        def moved(tensor: Tensor, mode: str) -> Tensor:
            onto = Affine(
                affine=affine,
                spatial_size=self.patch,
                mode=mode,
                padding_mode="zeros",
                image_only=True,
                dtype=np.float32,
            )
            return plain_tensor(onto(tensor.float()))

        both = moved(torch.cat([region.volume, region.valid[None].float()]), "bilinear")
        valid = both[-1] > 1 - 1e-4
        volume = torch.where(valid, both[:-1], 0.0)
        if region.labels is None:
            return Crop(volume, valid, None)
        # Counted from one, so that what comes from beyond the region is told from a class.
        labels = moved(region.labels[None] + 1, "nearest")[0].round().short() - 1
        return Crop(volume, valid, torch.where(valid, labels, IGNORE))


def crop_at(volume: Volume, *, corner: Sequence[int], placement: Placement, labelled: bool) -> Crop:
    """A crop of a prepared volume; what is not there is not valid.

    Args:
        volume: of `prepare`, or of `prepare_labelled`.
        corner: (z, y, x) of the patch, were it not turned.
        placement: its size, and how it is turned.
        labelled: True where the last channel of the volume is the class.
    """
    margin = placement.margin
    box = cut(
        volume,
        corner=[c - m for c, m in zip(corner, margin, strict=True)],
        patch=[size + 2 * m for size, m in zip(placement.patch, margin, strict=True)],
    )
    values = torch.from_numpy(box)
    image, classes = (values, None) if not labelled else (values[:-1], values[-1])
    valid = torch.isfinite(image).all(dim=0)
    labels = None
    if classes is not None:
        known = valid & torch.isfinite(classes)
        labels = torch.where(known, classes, IGNORE).short()
    return placement(Crop(torch.where(valid, image, 0.0), valid, labels))
