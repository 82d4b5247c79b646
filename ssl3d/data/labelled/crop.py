"""Some crops of a labelled case as a sample."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ssl3d.data.augment.crop import Crop


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
