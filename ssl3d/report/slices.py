"""Three orthogonal slices of a volume: as it is, as the encoder saw it, restored, and the error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ssl3d.geometry import show
from ssl3d.report.anatomy import PLANES, place_in_patient, spacing_of
from ssl3d.report.restored_crop import RestoredCrop
from ssl3d.report.sides import mark_sides

HIDDEN_COLOUR = (0.16, 0.22, 0.33)
PADDING_COLOUR = (0.85, 0.85, 0.85)
SHOWN_COLOUR = (0.5, 0.5, 0.5)
LEVEL_COLOURS = ("#f2a33a", "#4cc3d9", "#d95fa8")
ERRORS = "inferno"

VIEWS = ("original", "what the encoder saw", "restored where hidden", "error")


def draw_restoration(
    case: RestoredCrop, *, title: str, numbers: str, note: str, path: Path
) -> Path:
    """Write a PNG of 3 planes by 4 views through the middle of what is valid.

    Args:
        case: what to draw.
        title: of the figure.
        numbers: a line below it: what was measured on this crop.
        note: lines at the foot, such as how predictions were turned into intensities.
        path: of the file.

    Returns:
        `path`.
    """
    low, high = case.greys
    at = [case.middle(axis) for axis in range(3)]
    errors = ScalarMappable(Normalize(0, (high - low) / 2), ERRORS)
    heights = [case.height(axis) for axis in range(3)]
    figure = Figure(figsize=(11.6, 2.45 * sum(heights) + 2.0), layout="constrained")
    grid = figure.subplots(3, 4, height_ratios=heights)
    for axis, plane in enumerate(PLANES):
        for axes, view in zip(grid[axis], VIEWS, strict=True):
            if view == "error":
                image = _error(case, axis=axis, at=at[axis], errors=errors)
            else:
                volume = case.restored if view == VIEWS[2] else case.original
                image = _greys(volume, axis=axis, at=at[axis], low=low, high=high)
            if view == VIEWS[1]:
                image[_slice(case.hidden[0] & case.valid, axis, at[axis])] = HIDDEN_COLOUR
            image[~_slice(case.valid, axis, at[axis])] = PADDING_COLOUR
            axes.imshow(image, origin="lower", interpolation="nearest", aspect=case.aspect(axis))
            if view in VIEWS[2:]:
                _outline(axes, case=case, axis=axis, at=at[axis])
            mark_sides(axes, axis=axis)
            if axis == 0:
                axes.set_title(view, fontsize=11)
        voxel = case.place(at)[axis]
        grid[axis, 0].set_ylabel(f"{plane.name}, {'zyx'[axis]} = {voxel}", fontsize=10)
    bar = figure.colorbar(errors, ax=grid[:, 3], shrink=0.5, extend="max")
    bar.set_label("|restored - original|, up to half of the grey range", fontsize=8.5)
    figure.suptitle(f"{title}\n{numbers}\n{_place(case, at)}", fontsize=10)
    figure.legend(
        handles=_legend(case),
        title=note,
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _slice(volume: NDArray[np.bool_], axis: int, at: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.take(volume, at, axis)
    return found


def _greys(
    volume: NDArray[np.float32], *, axis: int, at: int, low: float, high: float
) -> NDArray[np.float64]:
    """(rows, columns, 3) greys of a slice."""
    shades = np.clip((np.take(volume, at, axis) - low) / (high - low), 0, 1)
    return np.repeat(shades[..., None].astype(np.float64), 3, axis=-1)


def _error(
    case: RestoredCrop, *, axis: int, at: int, errors: ScalarMappable
) -> NDArray[np.float64]:
    """(rows, columns, 3) colours of the absolute error; grey where nothing was hidden."""
    difference = np.abs(np.take(case.restored - case.original, at, axis))
    image: NDArray[np.float64] = errors.to_rgba(difference)[..., :3]
    image[~_slice(case.scored, axis, at)] = SHOWN_COLOUR
    return image


def _place(case: RestoredCrop, at: Sequence[int]) -> str:
    """Where the planes meet."""
    z, y, x = voxel = case.place(at)
    where = f"planes meet at voxel z y x = {z} {y} {x} of the volume as it was prepared"
    if max(case.shrink) > 1:
        where += f", shrunk {show(case.shrink)} times here"
    if case.affine is None:
        return f"{where}; its size of voxels is not known any more, they are drawn as cubes"
    size = " × ".join(f"{edge:.3g}" for edge in spacing_of(case.affine))
    return f"{where} ({size} mm, z y x): {place_in_patient(case.affine, voxel)}"


def _legend(case: RestoredCrop) -> list[Patch | Line2D]:
    """What colours and outlines stand for."""
    handles: list[Patch | Line2D] = [
        Patch(color=HIDDEN_COLOUR, label="hidden from the encoder"),
        Patch(color=SHOWN_COLOUR, label="shown to it: no error"),
        Patch(color=PADDING_COLOUR, label="padding: no data"),
    ]
    several = len(case.hidden) > 1
    for i, colour in enumerate(LEVEL_COLOURS[: len(case.hidden)]):
        label = f"outline: hidden cells{f' of level {i}' if several else ''}"
        handles.append(Line2D([], [], color=colour, label=label))
    return handles


def _outline(axes: Axes, *, case: RestoredCrop, axis: int, at: int) -> None:
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
