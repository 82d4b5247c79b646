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
        place: cells of a view of the level before that each covers; None where it lies in none.
        shown: the fewest cells that a view without invalid voxels shows, where the views draw what
            is hidden themselves; None: the masker draws.
    """

    count: int
    size: Triple
    weight: float = 1.0
    hidden: tuple[float, ...] = (1.0,)
    place: Triple | None = None
    shown: int | None = None
