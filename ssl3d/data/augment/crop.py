"""A part of a prepared volume, with its labels where it has any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a volume.

    Attributes:
        volume: (C, D, H, W), 0 where not valid.
        valid: (D, H, W) bool.
        labels: (D, H, W) int16, a class or IGNORE; none where voxels have no labels.
    """

    volume: Tensor
    valid: Tensor
    labels: Tensor | None


def plain_tensor(values: Any) -> Tensor:
    """What a transform of MONAI gives, without what it remembers of it."""
    tensor: Tensor = convert_to_tensor(values, track_meta=False)
    return tensor
