"""From files to one prepared volume: a pure function of the files and of the spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.intensity import NoContrast, check_values, foreground, normalise
from ssl3d.data.present import with_absent
from ssl3d.data.read import read_source
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.streams import Stream, generator

FOREGROUND_POINTS = 1024


@dataclass(frozen=True)
class Prepared:
    """A volume that is ready to be cropped.

    `values` (C, z, y, x) float32, NaN where not valid; `points` (n, 3) int32, foreground voxels in
    random order, at most 1024: a crop needs one of them, not the whole map. `corner` (z, y, x) is
    where `values` begin in the volume before it was cut to its foreground.
    """

    values: NDArray[np.float32]
    points: NDArray[np.int32]
    corner: tuple[int, int, int] = (0, 0, 0)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.points.nbytes


def prepare(source: Source, *, spec: DataSpec) -> Prepared:
    """Read, orient, resample and normalise one sample, and cut it where the spec says so.

    Raises:
        BadVolume: the sample cannot be used, with the reason: whatever else goes wrong with one
            volume is one of these, for it must not end a run without the volume's name.
        MemoryError: with the volume's name.
    """
    try:
        return _prepare(source, spec=spec)
    except BadVolume:
        raise
    except NoContrast as error:
        raise BadVolume(source.name, str(error)) from error
    except MemoryError as error:
        raise MemoryError(f"{source.name}: {str(error) or 'not enough memory'}") from error
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadVolume(source.name, f"cannot be prepared: {line}") from error


def _prepare(source: Source, *, spec: DataSpec) -> Prepared:
    def check(path: Path, voxels: NDArray[Any]) -> None:
        try:
            check_values(voxels, max_non_finite=spec.max_non_finite)
        except NoContrast as error:
            raise BadVolume(path, str(error)) from error

    read, _ = read_source(source, spacing=spec.spacing, check=check, region=spec.valid_region)
    volume = read.numpy()
    inside = foreground(volume, threshold=spec.foreground.threshold)
    how = spec.normalise_of(source.modality)
    values = normalise(volume, how=how, foreground=inside, numbers=source.numbers)
    whole = Prepared(values=with_absent(values, source=source), points=_some_points(inside))
    margin = spec.foreground.margin
    return whole if margin is None else _cut(whole, box=_box_around(inside, margin=margin))


def _box_around(inside: NDArray[np.bool_], *, margin: int) -> tuple[slice, ...]:
    """The box of what is inside, with a margin as far as there are voxels."""
    box = []
    for axis, edge in enumerate(inside.shape):
        others = tuple(other for other in range(inside.ndim) if other != axis)
        places = np.flatnonzero(inside.any(axis=others))
        box.append(slice(max(0, int(places[0]) - margin), min(edge, int(places[-1]) + 1 + margin)))
    return tuple(box)


def _cut(volume: Prepared, *, box: tuple[slice, ...]) -> Prepared:
    z, y, x = (part.start for part in box)
    values = np.ascontiguousarray(volume.values[(slice(None), *box)])
    points = volume.points - np.array([z, y, x], dtype=np.int32)
    return Prepared(values=values, points=points, corner=(z, y, x))


def _some_points(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Points of the foreground, alike in all runs."""
    random = generator(0, Stream.POINTS)
    flat = np.flatnonzero(inside)
    if flat.size > FOREGROUND_POINTS:
        places = torch.randint(flat.size, (FOREGROUND_POINTS,), generator=random)
    else:
        places = torch.randperm(flat.size, generator=random)
    chosen = flat[places.numpy()]
    return np.stack(np.unravel_index(chosen, inside.shape), axis=1).astype(np.int32)
