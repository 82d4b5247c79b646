"""How a training crop is changed, drawn at random."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.transforms.intensity.array import AdjustContrast, ScaleIntensity, StdShiftIntensity
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ssl3d.data.augment.crop import Crop, plain_tensor
from ssl3d.data.augment.placement import Placement
from ssl3d.data.augment_spec import CropChanges
from ssl3d.geometry import Triple

Spacing = tuple[float, float, float]

LITTLE = 1e-3
"""Share of a voxel at low resolution that is valid, up to which it is left as it is."""


class Augment:
    """Draws changes: a pure function of the generator.

    Args:
        spec: what may change.
        patch: size of the crops.
        flips: axes (z, y, x) along which half of them are flipped.
    """

    def __init__(
        self,
        spec: CropChanges,
        *,
        patch: Triple,
        flips: tuple[bool, bool, bool] = (False, False, False),
    ) -> None:
        self._spec = spec
        self._patch = patch
        self._flips = flips

    def placement(self, random: torch.Generator, *, spacing: Spacing) -> Placement:
        """Where a crop lies; angles are those of the body, so they need the spacing, in mm."""
        spec = self._spec
        flipped = torch.rand(3, generator=random).tolist()
        flips = tuple(a for a in range(3) if self._flips[a] and flipped[a] < 0.5)
        angles = [self._within(spec.rotate, random) for _ in range(3)]
        zoom = (1 + spec.scale) ** self._within(1.0, random)
        rotates, scales = self._happens(random), self._happens(random)
        if not ((rotates and spec.rotate) or (scales and spec.scale)):
            return Placement(self._patch, flips=flips)
        turn = _rotation([math.radians(angle) for angle in angles]) if rotates else np.eye(3)
        millimetres = np.diag(spacing)
        turn = np.linalg.inv(millimetres) @ turn @ millimetres
        return Placement(self._patch, turn / zoom if scales else turn, flips=flips)

    def intensities(self, crop: Crop, random: torch.Generator) -> Crop:
        """The crop with other intensities; what is not valid stays 0."""
        spec, valid = self._spec, crop.valid
        options = (
            spec.brightness,
            spec.contrast,
            spec.gamma,
            spec.noise,
            spec.low_resolution - 1,
        )
        drawn = [
            (self._happens(random) and option > 0, self._within(1.0, random)) for option in options
        ]
        if not any(happens for happens, _ in drawn) or not bool(valid.any()):
            return crop
        values = crop.volume[:, valid]
        (bright, shift), (contrast, factor), (gamma, power), (noisy, level), (low, loss) = drawn
        if bright:
            moved = StdShiftIntensity(spec.brightness * shift, channel_wise=True)(values)
            values = plain_tensor(moved)
        if contrast:
            stretch = ScaleIntensity(minv=None, maxv=None, factor=spec.contrast * factor)
            values = plain_tensor(stretch(values))
        if gamma:
            adjust = AdjustContrast(math.exp(spec.gamma * power))
            values = torch.stack([plain_tensor(adjust(channel)) for channel in values])
        if noisy:
            noise = torch.randn(crop.volume.shape, generator=random)[:, valid]
            deviation = values.std(dim=1, keepdim=True, correction=0)
            values = values + noise * deviation * spec.noise * abs(level)
        volume = torch.zeros_like(crop.volume)
        volume[:, valid] = values
        if low:
            volume = _blurred(volume, valid, factor=spec.low_resolution ** abs(loss))
        return Crop(volume, valid, crop.labels)

    def _happens(self, random: torch.Generator) -> bool:
        return float(torch.rand((), generator=random)) < self._spec.share

    @staticmethod
    def _within(largest: float, random: torch.Generator) -> float:
        """From -largest to largest."""
        return largest * (2 * float(torch.rand((), generator=random)) - 1)


def _rotation(angles: list[float]) -> NDArray[np.float64]:
    """About z, y and x, one after the other; axes z, y, x."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (other for other in range(3) if other != axis)
        one = np.eye(3)
        one[a, a] = one[b, b] = math.cos(angle)
        one[a, b], one[b, a] = -math.sin(angle), math.sin(angle)
        matrix = one @ matrix
    return matrix


def _blurred(volume: Tensor, valid: Tensor, *, factor: float) -> Tensor:
    """Volume (C, D, H, W) read at a lower resolution, and brought back; 0 where not valid.

    What is not valid takes no part: beside it the others weigh more.
    """
    size = tuple(volume.shape[1:])
    small = [max(1, round(edge / factor)) for edge in size]

    def coarse(values: Tensor) -> Tensor:
        few = F.interpolate(values[None], size=small, mode="nearest-exact")
        return F.interpolate(few, size=size, mode="trilinear")[0]

    if bool(valid.all()):
        return coarse(volume)
    share = coarse(valid[None].float())
    blurred = torch.where(share > LITTLE, coarse(volume) / share.clamp(min=LITTLE), volume)
    return torch.where(valid, blurred, 0.0)
