"""Label maps, brought onto the grid of their image as labels: never a value that is not there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.read import read_source
from ssl3d.data.source import Source

LARGEST_LABEL = 2**24
"""Volumes are read as float32, which knows each whole number below this one."""


def read_labels(
    image: Source,
    label: Path,
    *,
    spacing: Sequence[float] | None,
    values: Collection[int] | None = None,
) -> NDArray[np.float32]:
    """The label map (z, y, x) on the grid of the prepared image; NaN outside of its scan.

    Args:
        image: what it is a map of.
        label: its file.
        spacing: voxel size of the prepared image, in mm; none: as in the files.
        values: that may be there; none: any whole number.

    Raises:
        BadVolume: a file cannot be used, the map lies on another grid than the image, or it holds
            another value.
    """

    def check(file: Path, voxels: NDArray[Any]) -> None:
        check_labels(file, voxels, values=values)

    # Beside the first channel, so that both are held to one grid.
    pair = Source((image.files[0], label))
    read, _ = read_source(pair, spacing=spacing, mode="nearest", check=check, skip=1)
    labels: NDArray[np.float32] = read[0].numpy()
    return labels


def check_labels(
    path: Path, voxels: NDArray[Any], *, values: Collection[int] | None = None
) -> None:
    """Judge the voxels of a label map as they are stored.

    Raises:
        BadVolume: they are no labels, or others than `values`.
    """
    whole = np.isfinite(voxels) & (voxels == np.round(voxels)) & (voxels >= 0)
    if not whole.all():
        raise BadVolume(path, "labels must be whole numbers from 0")
    if voxels.max() >= LARGEST_LABEL:
        raise BadVolume(path, f"labels must be below {LARGEST_LABEL}")
    if values is None:
        return
    known = np.zeros(voxels.shape, dtype=bool)
    for value in values:
        known |= voxels == value
    if not known.all():
        strange = np.unique(voxels[~known])
        first = ", ".join(f"{value:g}" for value in strange[:5])
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise BadVolume(
            path,
            f"holds the labels {first}{more} in {int((~known).sum())} voxels, which are none of "
            f"{', '.join(map(str, sorted(values)))}: name them as labels, or as what is ignored",
        )
