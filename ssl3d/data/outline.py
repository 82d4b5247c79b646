"""What a run would read, by the headers of its files alone: how many, how large, which split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from nibabel.loadsave import load
from nibabel.orientations import io_orientation
from nibabel.spatialimages import SpatialImage

from ssl3d.data.module import DataModule
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of
from ssl3d.geometry import Triple

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Outline:
    """The data of a run before it is read.

    Attributes:
        training: samples to train on.
        held_out: samples to measure on.
        groups: groups that stay on one side of the split, over both sides.
        bad: {sample: problem} of those that are left out by their header.
        grids: size in voxels and spacing in mm (z, y, x) of the first file of each usable sample
            whose header is cheap to read, as it lies in RAS orientation.
    """

    training: int
    held_out: int
    groups: int
    bad: dict[str, str]
    grids: tuple[tuple[Triple, Spacing], ...]


def outline(spec: DataSpec) -> Outline:
    """Find, judge and split the files as a run does; reads headers only.

    Raises:
        DataError: the run could not start; says why.
    """
    data = DataModule(spec, seed=0)
    data.setup()
    usable = [*data.train_files, *data.held_out_files]
    grids = (_grid(source.files[0]) for source in usable)
    return Outline(
        training=len(data.train_files),
        held_out=len(data.held_out_files),
        groups=len(set(group_of(usable, spec=spec))),
        bad=data.bad_files(),
        grids=tuple(grid for grid in grids if grid is not None),
    )


def _grid(path: Path) -> tuple[Triple, Spacing] | None:
    """Size and spacing (z, y, x) of a NIfTI file turned to RAS; None for other formats."""
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        return None
    image = cast(SpatialImage, load(path))
    affine = np.asarray(image.affine)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    # The axis of the file that lies along x, y and z.
    turn = io_orientation(affine)
    x, y, z = np.argsort(turn[:3, 0])
    size = image.shape
    return (size[z], size[y], size[x]), (float(steps[z]), float(steps[y]), float(steps[x]))
