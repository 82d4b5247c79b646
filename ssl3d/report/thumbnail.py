"""Three small slices of a volume as PNG, with true proportions, for pages of many volumes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from ssl3d.report.frame import aspect_of
from ssl3d.report.slices import PADDING_COLOUR

EDGE = 112
"""Pixels of the longer edge."""


def thumbnails(
    volume: NDArray[Any], *, spacing: Sequence[float], greys: tuple[float, float]
) -> tuple[bytes, ...]:
    """PNG files of the middle slice of each of `PLANES`, in the radiological convention.

    Args:
        volume: (z, y, x) in RAS; NaN is drawn as no data.
        spacing: of its voxels, in mm.
        greys: values that are drawn black and white.
    """
    found = []
    for axis, size in enumerate(volume.shape):
        slice_ = np.take(volume, size // 2, axis)
        image = _greys(_resized(slice_, aspect=aspect_of(spacing, axis=axis)), greys=greys)
        file = io.BytesIO()
        imsave(file, image, format="png")
        found.append(file.getvalue())
    return tuple(found)


def _resized(slice_: NDArray[Any], *, aspect: float) -> NDArray[np.float32]:
    """Turned to the convention, and each pixel the nearest voxel."""
    rows, columns = slice_.shape
    scale = EDGE / max(rows * aspect, columns)
    places = [
        ((np.arange(count) + 0.5) * size / count).astype(np.int64)
        for size, count in (
            (rows, max(1, round(rows * aspect * scale))),
            (columns, max(1, round(columns * scale))),
        )
    ]
    return np.asarray(slice_[np.ix_(*places)], dtype=np.float32)[::-1, ::-1]


def _greys(values: NDArray[np.float32], *, greys: tuple[float, float]) -> NDArray[np.uint8]:
    """(rows, columns, 3) bytes."""
    low, high = greys
    width = high - low or 1.0
    shades = np.clip((values - low) / width, 0, 1)
    image = np.repeat(shades[..., None], 3, axis=-1)
    image[~np.isfinite(values)] = PADDING_COLOUR
    return (255 * image).round().astype(np.uint8)
