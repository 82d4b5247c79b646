"""Voxels that say nothing: padding, and what is outside of the body. Found in the whole volume."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ssl3d.data.intensity import Booleans, Floats, otsu

BORDER_SHARE = 0.01
"""Of the border's voxels, that a part must fill to be padding: noise has equal neighbours too."""


def padding(voxels: NDArray[Any]) -> Booleans:
    """Voxels of one exact value that are connected to the border and fill some of it.

    Parts are connected through faces; each must hold a hundredth of the border's voxels.

    Args:
        voxels: (x, y, z) as they are stored: resampled ones are not quite equal any more.

    Returns:
        True where there is padding.
    """
    border = np.ones(voxels.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    least = BORDER_SHARE * border.sum()
    values, counts = np.unique(voxels[border], return_counts=True)
    found = np.zeros(voxels.shape, dtype=bool)
    for value in values[counts >= least]:
        parts, _ = ndimage.label(voxels == value)
        large = np.bincount(parts[border]) >= least
        large[0] = False  # other values
        found |= np.pad(large, (0, int(parts.max()) + 1 - len(large)))[parts]
    return found


def body(values: Floats, *, threshold: Literal["otsu"] | float) -> Booleans:
    """The largest part above a threshold, holes filled in each slice along z.

    Args:
        values: (x, y, z), NaN where not valid.
        threshold: "otsu", or a number.

    Returns:
        True inside; nowhere where nothing is above the threshold.
    """
    valid = values[np.isfinite(values)]
    if not valid.size:
        return np.zeros(values.shape, dtype=bool)
    above = values > (otsu(valid) if threshold == "otsu" else float(threshold))
    parts, _ = ndimage.label(above)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = above & (parts == sizes.argmax())
    slices = np.moveaxis(largest, 2, 0)
    return np.stack([ndimage.binary_fill_holes(one) for one in slices], axis=2)
