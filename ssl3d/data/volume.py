"""A prepared volume, wherever it is kept: what crops are cut from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.source import Source


class Volume(Protocol):
    """A prepared volume, wherever it is kept."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, z, y, x)."""

    @property
    def points(self) -> NDArray[np.int32]:
        """(n, 3), foreground voxels in random order."""

    @property
    def corner(self) -> tuple[int, int, int]:
        """Where it begins (z, y, x) in the volume that it was cut from."""

    def read(self, corner: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """Box (C, *size) from `corner` (z, y, x), which lies inside; NaN where not valid."""


class Volumes(Protocol):
    """Gives the prepared volume of a source."""

    def volume(self, source: Source) -> Volume:
        """Raises BadVolume where it cannot be used."""

    def spacing(self, source: Source) -> tuple[float, float, float]:
        """Of the prepared volume, in mm (z, y, x); raises BadVolume."""
