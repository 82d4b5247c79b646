"""A level of views: how many of a sample there are, and of which size. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ssl3d.geometry import Triple


@dataclass(frozen=True)
class Level:
    """Views of one size, which are encoded together.

    Attributes:
        count: views of a sample.
        size: voxels per axis.
        weight: share in each loss.
        hidden: weight in the restoration loss of each nested hidden level.
    """

    count: int
    size: Triple
    weight: float = 1.0
    hidden: tuple[float, ...] = (1.0,)
