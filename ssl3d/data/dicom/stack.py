"""Slices in order, and where the volume that they make lies. Equation: DICOM PS3.3, C.7.6.2.1.1.

Slices lie on one line at equal distances, or it is said what is done: where some are missing their
place stays empty, and where distances differ the volume is resampled along the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.dicom.header import APART, Frame

# Of the distance of slices: positions are written with few digits.
_ROUNDING = 0.05
# Cosines, of directions that are written with few digits.
_TURN = 1e-3
# In mm: how far a slice may lie beside the line of the others.
_ASIDE = 0.1
# Distances of slices between which values are interpolated; what is wider was not measured.
_WIDE = 2.5
# Largest share of a volume's slices that may be missing.
_MISSING = 0.5


@dataclass(frozen=True, eq=False)
class Stack:
    """How slices make a volume.

    Attributes:
        order: number of each slice that is used, by place.
        affine: (4, 4), from (column, row, slice, 1) to mm, in RAS.
        below, above: for each slice of the volume the places in `order` that it lies between.
        share: of the one above.
        measured: False for slices of the volume of which nothing is known.
        notes: what was done, as words that go after the file's name.
    """

    order: NDArray[np.int64]
    affine: NDArray[np.float64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    share: NDArray[np.float64]
    measured: NDArray[np.bool_]
    notes: tuple[str, ...]


def stack(frames: Sequence[Frame], *, path: Path) -> Stack:
    """Order slices by their position.

    Args:
        frames: two at least, of one size.
        path: what errors call them.

    Raises:
        BadVolume: they are not one volume: no place, several directions, several volumes.
    """
    _check_described(frames, path=path)
    directions = np.array([frame.orientation for frame in frames])
    if np.abs(directions - directions[0]).max() > _TURN:
        raise BadVolume(path, "its slices lie in several directions: they are no one volume")
    spacings = np.array([frame.spacing for frame in frames])
    if not np.allclose(spacings, spacings[0], rtol=1e-3):
        raise BadVolume(path, "its slices have pixels of several sizes: they are no one volume")
    along_row, along_column = directions[0, :3], directions[0, 3:]
    normal = np.cross(along_row, along_column)
    positions = np.array([frame.position for frame in frames])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    places = positions @ normal
    gaps = np.diff(places)
    step = float(np.median(gaps))
    _check_each_place_once(frames, gaps, order=order, path=path)
    line = (positions[-1] - positions[0]) / (places[-1] - places[0])
    aside = positions - positions[0] - np.outer(places - places[0], line)
    if np.linalg.norm(aside, axis=1).max() > _ASIDE:
        raise BadVolume(
            path,
            f"its slices do not lie on one line: some are "
            f"{np.linalg.norm(aside, axis=1).max():.1f} mm beside it",
        )
    heights, bridged, notes = _heights(places - places[0], step=step, path=path)
    step = float(heights[1] - heights[0])
    affine = np.eye(4)
    affine[:3, 0] = along_row * spacings[0, 1]
    affine[:3, 1] = along_column * spacings[0, 0]
    affine[:3, 2] = line * step
    affine[:3, 3] = positions[0]
    between = _between(places - places[0], heights, step=step, bridged=bridged)
    return Stack(order, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, *between, notes)


def _check_described(frames: Sequence[Frame], *, path: Path) -> None:
    for name, size in (("position", 3), ("orientation", 6), ("spacing", 2)):
        lacking = sum(len(getattr(frame, name)) != size for frame in frames)
        if lacking:
            raise BadVolume(path, f"{lacking} of its {len(frames)} slices have no {name}")


def _check_each_place_once(
    frames: Sequence[Frame], gaps: NDArray[np.float64], *, order: NDArray[np.int64], path: Path
) -> None:
    twice = int((gaps < _ASIDE * 0.1).sum())
    if not twice:
        return
    values = zip(*(frame.apart for frame in frames), strict=True)
    differ = [name for name, own in zip(APART, values, strict=True) if len(set(own)) > 1]
    what = f", which differ in {' and '.join(differ)}" if differ else ""
    raise BadVolume(
        path,
        f"{twice} of its {len(order)} slices lie where another one lies{what}: it holds several "
        "volumes; write them as a series each",
    )


def _heights(
    places: NDArray[np.float64], *, step: float, path: Path
) -> tuple[NDArray[np.float64], float, tuple[str, ...]]:
    """(where the slices of the volume lie along the line, from 0; the widest distance of slices
    between which values are found; what was done)."""
    count = len(places)
    even = places[-1] / (count - 1)
    if np.abs(places - np.arange(count) * even).max() <= _ROUNDING * even:
        return np.arange(count) * even, 0.0, ()
    gaps = np.diff(places)
    numbers = np.round(places / np.median(gaps[gaps < 1.5 * gaps.min()]))
    even = places[-1] / numbers[-1]
    if np.abs(places - numbers * even).max() <= _ROUNDING * even and len(set(numbers)) == count:
        whole = int(numbers[-1]) + 1
        if whole - count > _MISSING * whole:
            raise BadVolume(path, f"{whole - count} of its {whole} slices are missing")
        note = f"{whole - count} of its {whole} slices are missing: their voxels are not valid"
        return np.arange(whole) * even, 0.0, (note,)
    low, high = gaps.min(), gaps.max()
    whole = round(places[-1] / step) + 1
    note = (
        f"its slices lie {low:.3g} to {high:.3g} mm apart: it is resampled to "
        f"{places[-1] / (whole - 1):.3g} mm"
    )
    return np.linspace(0.0, places[-1], whole), _WIDE * step, (note,)


def _between(
    places: NDArray[np.float64], heights: NDArray[np.float64], *, step: float, bridged: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """(below, above, share of above, measured) for each height."""
    last = len(places) - 1
    nearest = np.abs(heights[:, None] - places[None]).argmin(axis=1)
    exact = np.abs(heights - places[nearest]) <= _ROUNDING * step
    above = np.clip(np.searchsorted(places, heights), 1, last)
    below = above - 1
    width = places[above] - places[below]
    share = np.clip((heights - places[below]) / width, 0.0, 1.0)
    share = np.where(exact, 0.0, share)
    measured = exact | (width <= bridged)
    return np.where(exact, nearest, below), np.where(exact, nearest, above), share, measured
