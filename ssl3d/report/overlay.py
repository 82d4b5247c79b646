"""Three orthogonal slices of a case: the image, its labels, and what was predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ssl3d.report.anatomy import PLANES, place_in_patient
from ssl3d.report.segmented_case import SegmentedCase
from ssl3d.report.sides import mark_sides
from ssl3d.report.slices import PADDING_COLOUR

VIEWS = ("image", "label", "prediction")
OPACITY = 0.5
SHOWN = 12
"""Labels in the legend; more would cover the picture."""


def draw_overlay(case: SegmentedCase, *, title: str, numbers: str, path: Path) -> Path:
    """Write a PNG of 3 planes by 3 views, each plane where most is labelled.

    Args:
        case: what to draw.
        title: of the figure.
        numbers: a line below it: what was measured on this case.
        path: of the file.

    Returns:
        `path`.
    """
    at = [case.fullest(axis) for axis in range(3)]
    heights = [case.height(axis) for axis in range(3)]
    figure = Figure(figsize=(9.0, 2.7 * sum(heights) + 2.0), layout="constrained")
    grid = figure.subplots(3, 3, height_ratios=heights)
    colours = _colours(len(case.names))
    for axis, plane in enumerate(PLANES):
        for axes, view in zip(grid[axis], VIEWS, strict=True):
            labels = {"label": case.truth, "prediction": case.guess}.get(view)
            _draw(axes, case=case, labels=labels, axis=axis, at=at[axis], colours=colours)
            mark_sides(axes, axis=axis)
            if axis == 0:
                axes.set_title(view, fontsize=11)
        grid[axis, 0].set_ylabel(f"{plane.name}, {'zyx'[axis]} = {at[axis]}", fontsize=10)
    where = f"planes meet at {place_in_patient(case.affine, at)}, each where most is labelled"
    figure.suptitle(f"{title}\n{numbers}\n{where}", fontsize=10)
    handles = [Patch(color=c, label=n) for c, n in zip(colours, case.names[:SHOWN], strict=False)]
    more = f"and {len(case.names) - SHOWN} more labels" if len(case.names) > SHOWN else None
    figure.legend(
        handles=handles,
        title=more,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8.5,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _draw(
    axes: Axes,
    *,
    case: SegmentedCase,
    labels: NDArray[np.int64] | None,
    axis: int,
    at: int,
    colours: NDArray[np.float64],
) -> None:
    """A slice in greys, with labels over it; grey where there is no data."""
    low, high = case.greys
    shades = np.clip((np.take(case.image, at, axis) - low) / (high - low), 0, 1)
    image = np.repeat(shades[..., None].astype(np.float64), 3, axis=-1)
    if labels is not None:
        classes = np.take(labels, at, axis)
        marked = classes > 0
        over = colours[classes[marked] - 1]
        image[marked] = (1 - OPACITY) * image[marked] + OPACITY * over
    image[~np.take(case.valid, at, axis)] = PADDING_COLOUR
    axes.imshow(image, origin="lower", interpolation="nearest", aspect=case.aspect(axis))


def _colours(count: int) -> NDArray[np.float64]:
    """(K, 3): ten that differ well, then by turns of the colour circle."""
    if count <= 10:
        return np.array(colormaps["tab10"](np.arange(count)))[:, :3]
    return np.array(colormaps["hsv"](np.arange(count) * 0.618 % 1))[:, :3]
