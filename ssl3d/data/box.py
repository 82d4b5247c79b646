"""Boxes of prepared volumes: where they may lie, and how they are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.volume import Volume


def bounds(edge: int, size: int) -> tuple[int, int]:
    """Smallest and largest start of a window of `size` on an axis of `edge` voxels.

    A window that is larger than the axis starts before it and always covers it.
    """
    return min(0, edge - size), max(0, edge - size)


def around(point: NDArray[Any], *, edges: Sequence[int], patch: Sequence[int]) -> list[int]:
    """Corner (z, y, x) of the patch centred on `point`, moved as little as the borders need."""
    corner = []
    for place, edge, size in zip(point, edges, patch, strict=True):
        low, high = bounds(edge, size)
        corner.append(min(max(int(place) - size // 2, low), high))
    return corner


def cut(volume: Volume, *, corner: Sequence[int], patch: Sequence[int]) -> NDArray[np.float32]:
    """Box (C, *patch) from `corner` (z, y, x), NaN outside the volume."""
    channels, *edges = volume.shape
    low = [max(c, 0) for c in corner]
    high = [min(c + size, edge) for c, size, edge in zip(corner, patch, edges, strict=True)]
    inside = volume.read(low, [last - first for first, last in zip(low, high, strict=True)])
    crop = np.full((channels, *patch), np.nan, dtype=np.float32)
    start = [first - c for first, c in zip(low, corner, strict=True)]
    target = (slice(s, s + size) for s, size in zip(start, inside.shape[1:], strict=True))
    crop[(slice(None), *target)] = inside
    return crop
