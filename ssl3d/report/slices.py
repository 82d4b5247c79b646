"""Three orthogonal slices of a volume: as it is, as the encoder saw it, and restored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

PLANES = ("axial", "coronal", "sagittal")
"""Names of the planes that fix z, y and x, for volumes in RAS orientation."""

HIDDEN_COLOUR = (0.16, 0.22, 0.33)
PADDING_COLOUR = (0.85, 0.85, 0.85)
LEVEL_COLOURS = ("#f2a33a", "#4cc3d9", "#d95fa8")


@dataclass(frozen=True, eq=False)
class Restoration:
    """One channel of a restored volume; every array is (D, H, W).

    Attributes:
        original: intensities.
        restored: the same with hidden cells replaced by the prediction.
        valid: bool, what is data.
        hidden: nested levels, bool; the encoder did not see the first.
        spacing: size of a voxel, (z, y, x), in any one unit.
    """

    original: NDArray[np.float32]
    restored: NDArray[np.float32]
    valid: NDArray[np.bool_]
    hidden: Sequence[NDArray[np.bool_]]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)


def draw_restoration(case: Restoration, *, title: str, note: str, path: Path) -> Path:
    """Write a PNG of 3 planes by 3 views through the middle of what is valid.

    Args:
        case: what to draw.
        title: of the figure.
        note: a line below it, such as how predictions were turned into intensities.
        path: of the file.

    Returns:
        `path`.
    """
    views = (
        ("original", case.original, False),
        ("what the encoder saw", case.original, True),
        ("restored where hidden", case.restored, False),
    )
    low, high = _range(case)
    heights = [_height(case, axis) for axis in range(3)]
    figure = Figure(figsize=(9.6, 3.2 * sum(heights) + 1.2), layout="constrained")
    grid = figure.subplots(3, 3, height_ratios=heights)
    for axis, plane in enumerate(PLANES):
        at = _middle(case.valid, axis)
        for column, (name, volume, cover) in enumerate(views):
            axes = grid[axis, column]
            image = _image(case, volume=volume, axis=axis, at=at, cover=cover, low=low, high=high)
            axes.imshow(image, origin="lower", interpolation="nearest", aspect=_aspect(case, axis))
            if name.startswith("restored"):
                _outline(axes, case=case, axis=axis, at=at)
            axes.set_xticks([])
            axes.set_yticks([])
            if axis == 0:
                axes.set_title(name, fontsize=11)
            if column == 0:
                axes.set_ylabel(f"{plane}, {'zyx'[axis]} = {at}", fontsize=10)
    figure.suptitle(title, fontsize=12)
    figure.supxlabel(note, fontsize=8.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _range(case: Restoration) -> tuple[float, float]:
    """What is shown black and white."""
    values = case.original[case.valid]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _middle(valid: NDArray[np.bool_], axis: int) -> int:
    """Middle of the valid part along an axis."""
    other = tuple(a for a in range(3) if a != axis)
    places = np.flatnonzero(valid.any(axis=other))
    return int(places[len(places) // 2]) if places.size else valid.shape[axis] // 2


def _image(
    case: Restoration,
    *,
    volume: NDArray[np.float32],
    axis: int,
    at: int,
    cover: bool,
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """(rows, columns, 3) colours of a slice; `cover` paints over what is hidden."""
    shades = np.clip((np.take(volume, at, axis) - low) / (high - low), 0, 1)
    image = np.repeat(shades[..., None].astype(np.float64), 3, axis=-1)
    if cover:
        image[np.take(case.hidden[0], at, axis)] = HIDDEN_COLOUR
    image[~np.take(case.valid, at, axis)] = PADDING_COLOUR
    return image


def _aspect(case: Restoration, axis: int) -> float:
    """Height of a voxel over its width in a slice."""
    height, width = (case.spacing[a] for a in range(3) if a != axis)
    return float(height / width)


def _height(case: Restoration, axis: int) -> float:
    """Height of a slice over its width."""
    rows, columns = (case.original.shape[a] for a in range(3) if a != axis)
    return max(0.2, float(rows / columns) * _aspect(case, axis))


def _outline(axes: Axes, *, case: Restoration, axis: int, at: int) -> None:
    """Draw the edges of hidden cells, each level in its colour."""
    for level, colour in zip(case.hidden, LEVEL_COLOURS, strict=False):
        inside = np.pad(np.take(level, at, axis), 1).astype(np.int8)
        for along in (0, 1):
            lines = np.argwhere(np.diff(inside, axis=along) != 0)
            # A change between i and i + 1 of the padded slice is an edge at i - 0.5 of the slice.
            across = 1 - along
            start = lines[:, along] - 0.5
            place = lines[:, across] - 1
            xy = (axes.hlines, axes.vlines)[along]
            xy(start, place - 0.5, place + 0.5, color=colour, lw=0.8)
