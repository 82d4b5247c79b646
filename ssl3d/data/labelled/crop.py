"""A part of a labelled case, and some of them as a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai.utils.type_conversion import convert_to_tensor
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a case.

    Attributes:
        volume: (C, D, H, W), 0 where not valid.
        valid: (D, H, W) bool.
        labels: (D, H, W) int16, a class or IGNORE; none where voxels have no labels.
    """

    volume: Tensor
    valid: Tensor
    labels: Tensor | None


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """Some crops of one case.

    Attributes:
        crops: of one size.
        targets: (columns,) float32, NaN where nobody knows; none where voxels are labelled.
        number: of the sample.
        source: the case.
        spacing: (z, y, x) of its voxels, in mm.
    """

    crops: tuple[Crop, ...]
    targets: Tensor | None
    number: int
    source: str
    spacing: tuple[float, float, float]


def plain_tensor(values: Any) -> Tensor:
    """What a transform of MONAI gives, without what it remembers of it."""
    tensor: Tensor = convert_to_tensor(values, track_meta=False)
    return tensor
