"""Voxels in 16 bits where their values allow it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.preparation import Prepared

LEVELS = 2**16
"""Values that 16 bits tell apart."""

STEPS = 2**12
"""A rounded channel keeps so many steps between its 0.5 and 99.5 percentiles: scanners measure in
12 bits.
"""

_LOOK = 2**18
"""Voxels that are looked at before all are."""

Codes = NDArray[np.uint16]
Floats = NDArray[np.float32]


class Compact(NamedTuple):
    """Voxels as places in a table of values.

    Attributes:
        codes: (C, z, y, x), places in `levels`.
        levels: (n,), the values, NaN among them where some voxels are not valid.
        rounding: how far a voxel is moved at most, in the unit of the values.
    """

    codes: Codes
    levels: Floats
    rounding: float


def compact(volume: Prepared, *, exact: bool = False) -> Compact | None:
    """The voxels of a volume in 16 bits; None where their values do not allow it.

    They do where there are at most 65536 of them, as in files of integers that were not resampled:
    nothing is rounded then. Otherwise they are rounded to evenly spaced values where that leaves
    every channel 4096 steps between its percentiles, half of which no voxel is moved by.

    Args:
        volume: prepared.
        exact: True rounds nothing.
    """
    return _counted(volume.values) or (None if exact else _rounded(volume.values))


def expand(codes: Codes, levels: Floats) -> Floats:
    """The voxels of `codes`."""
    # numpy checks no bounds then, which there is no need for: it is three times as fast.
    return levels.take(codes, mode="clip")


def _counted(values: Floats) -> Compact | None:
    # Bits and not values: each kind of zero stays what it is.
    bits = np.ascontiguousarray(values).view(np.uint32).reshape(-1)
    if len(np.unique(bits[:: max(1, bits.size // _LOOK)])) > LEVELS:
        return None
    known = np.unique(bits)
    if len(known) > LEVELS:
        return None
    order = np.argsort(known.view(np.float32), kind="stable")
    rank = np.empty(len(known), dtype=np.uint16)
    rank[order] = np.arange(len(known))
    codes = rank[np.searchsorted(known, bits)]
    return Compact(codes.reshape(values.shape), known[order].view(np.float32), 0.0)


def _rounded(values: Floats) -> Compact | None:
    last = LEVELS - 2  # the place behind it is NaN's
    low, high = np.nanmin(values), np.nanmax(values)
    span = np.linspace(low, high, last + 1, dtype=np.float32)
    step = float(high - low) / last
    if any(step > (_spread(channel) / STEPS) for channel in values):
        return None
    levels = np.append(span, np.float32(np.nan))
    codes, rounding = np.empty(values.shape, dtype=np.uint16), 0.0
    for channel, own in zip(values, codes, strict=True):
        for slab, part in zip(channel, own, strict=True):
            places = np.rint((slab - low) / np.float32(step))
            part[...] = np.where(np.isnan(slab), last + 1, np.clip(places, 0, last))
            moved = np.abs(expand(part, levels) - slab)
            rounding = max(rounding, float(np.nanmax(moved, initial=0.0)))
    return Compact(codes, levels, rounding)


def _spread(channel: Floats) -> float:
    """Between the two percentiles of some of its voxels; infinite where none is valid."""
    some = channel.reshape(-1)[:: max(1, channel.size // _LOOK)]
    some = some[np.isfinite(some)]
    if not some.size:
        return float("inf")
    low, high = np.percentile(some, (0.5, 99.5))
    return float(high - low)
