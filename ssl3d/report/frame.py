"""How a slice is shown: its range of greys, and its proportions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def greys_of(values: NDArray[np.float32]) -> tuple[float, float]:
    """What is shown black and white, of the values that are data."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def aspect_of(spacing: Sequence[float], *, axis: int) -> float:
    """Height of a voxel over its width in a slice that fixes `axis` of z, y, x."""
    height, width = (spacing[a] for a in range(3) if a != axis)
    return float(height / width)


def height_of(shape: Sequence[int], *, spacing: Sequence[float], axis: int) -> float:
    """Height of such a slice over its width."""
    rows, columns = (shape[a] for a in range(3) if a != axis)
    return max(0.2, float(rows / columns) * aspect_of(spacing, axis=axis))
