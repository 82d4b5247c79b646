"""Foreground and normalised intensities of one volume. NaN marks voxels that are not valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.intensity_spec import CTWindow, Percentile, ZScore

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]


# Values that span fewer steps of single precision are told apart no more.
STEPS = 256


class NoContrast(ValueError):
    """The intensities carry nothing to learn from; the message is the reason."""


def check_values(voxels: NDArray[Any], *, max_non_finite: float) -> None:
    """Judge the voxels of a file as they are stored: resampling would blur what is decided here.

    Args:
        voxels: of any shape, as integers or in double precision where the file is.
        max_non_finite: largest share of NaN and infinite voxels.

    Raises:
        NoContrast: too few are finite, all are alike, or single precision cannot hold them.
    """
    finite = voxels[np.isfinite(voxels)] if voxels.dtype.kind == "f" else voxels
    share = 1 - finite.size / voxels.size
    if share > max_non_finite:
        raise NoContrast(
            f"{share:.1%} of its voxels are NaN or infinite, data.max_non_finite allows "
            f"{max_non_finite:.1%}"
        )
    low, high = finite.min(), finite.max()
    if low == high:
        raise NoContrast(f"no contrast: every voxel is {low:g}")
    if max(abs(float(low)), abs(float(high))) > float(np.finfo(np.float32).max):
        raise NoContrast(f"its values, {low:g} to {high:g}, are beyond single precision")
    if narrow(float(low), float(high)):
        raise NoContrast(
            f"its values lie between {low:.12g} and {high:.12g}, less than {STEPS} steps of single "
            "precision apart: subtract an offset from them"
        )


def narrow(low: float, high: float) -> bool:
    """True where less than 256 steps of single precision lie between two values."""
    return high - low < STEPS * float(np.spacing(np.float32(max(abs(low), abs(high)))))


def foreground(volume: Floats, *, threshold: Literal["otsu", "none"] | float) -> Booleans:
    """Voxels above the threshold in any channel.

    Args:
        volume: (C, z, y, x) in the unit of the files.
        threshold: "otsu" (per channel), "none" (every valid voxel), or a number.

    Returns:
        (z, y, x) bool, True for foreground.

    Raises:
        NoContrast: no voxel is above the threshold.
    """
    valid: Booleans = np.logical_and.reduce(np.isfinite(volume), axis=0)
    if not valid.any():
        raise NoContrast("no voxel is finite in every channel")
    if threshold == "none":
        return valid
    above = np.zeros_like(valid)
    for channel in volume:
        level = otsu(channel[valid]) if threshold == "otsu" else float(threshold)
        above |= channel > level
    above &= valid
    if not above.any():
        raise NoContrast(
            f"no voxel is above data.foreground.threshold {threshold} (largest value "
            f"{np.nanmax(volume):g})"
        )
    return above


def otsu(values: Floats, *, bins: int = 256) -> float:
    """Threshold that separates `values` (n,) into two classes with the largest variance between.

    The histogram spans the 0.5 to 99.5 percentiles, so that a few extreme voxels cannot fill it.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979, eq. 18.
    """
    low, high = spread(values, 0.5, 99.5)
    counts, edges = np.histogram(np.clip(values, low, high), bins=bins, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = values.size - below
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = moment[:-1] / below - (moment[-1] - moment[:-1]) / above
        between = np.nan_to_num(below * above * difference**2, nan=0.0)
    # Empty bins between two separate classes tie: the middle of the gap is the fair choice.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(edges[1 + best].mean())


def spread(values: Floats, lower: float, upper: float) -> tuple[float, float]:
    """The two percentiles of `values` (n,), or the extremes where the percentiles coincide.

    A background of one value is not quite one after resampling, so percentiles that single
    precision hardly tells apart count as one.

    Raises:
        NoContrast: the extremes coincide too.
    """
    low, high = (float(value) for value in np.percentile(values, (lower, upper)))
    if narrow(low, high):
        low, high = float(values.min()), float(values.max())
        if narrow(low, high):
            alike = f"every voxel is {low:g}" if low == high else f"{low:g} to {high:g}"
            raise NoContrast(f"no contrast: {alike}")
    return low, high


def normalise(
    volume: Floats,
    *,
    how: CTWindow | Percentile | ZScore,
    foreground: Booleans,
    numbers: Sequence[int] | None = None,
) -> Floats:
    """Normalised (C, z, y, x) volume; NaN stays NaN.

    Messages call channels by `numbers`, where they are not those from 0.

    Raises:
        NoContrast: every valid voxel of a channel ends at one value.
    """
    result = np.empty_like(volume)
    for index, channel in enumerate(volume):
        number = index if numbers is None else numbers[index]
        valid = channel[np.isfinite(channel)]
        if isinstance(how, ZScore):
            inside = channel[foreground].astype(np.float64)
            low, scale = float(inside.mean()), float(inside.std())
        else:
            low, high = (
                (how.lower, how.upper)
                if isinstance(how, CTWindow)
                else spread(valid, how.lower, how.upper)
            )
            scale = high - low
        if valid.min() == valid.max() or scale == 0:
            raise NoContrast(f"channel {number} has no contrast: every voxel is {valid[0]:g}")
        result[index] = (channel - np.float32(low)) / np.float32(scale)
        if isinstance(how, CTWindow) or (isinstance(how, Percentile) and how.clip):
            np.clip(result[index], 0.0, 1.0, out=result[index])
        if np.nanmin(result[index]) == np.nanmax(result[index]):
            raise NoContrast(
                f"channel {number} has no contrast between {low:g} and {low + scale:g}: its values "
                f"lie between {valid.min():g} and {valid.max():g}, check data.normalise"
            )
    return result
