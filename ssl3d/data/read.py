"""One sample's files as one oriented, resampled tensor. Reading and geometry are MONAI's."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.io.array import LoadImage
from monai.transforms.spatial.array import Orientation, Spacing
from nibabel.loadsave import load
from nibabel.spatialimages import SpatialImage
from torch import Tensor

from ssl3d.data.data_error import BadVolume
from ssl3d.data.files import Source

# 4 GB of float32 a channel: beyond it the spacing in the file (or the spec) is surely a mistake.
MAX_VOXELS = 10**9
# Formats beside NIfTI are read by packages that are not required: (module, name to install).
READERS = {".nrrd": ("nrrd", "pynrrd"), ".mha": ("itk", "itk")}
RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


def check_header(path: Path, *, spacing: Sequence[float] | None = None) -> None:
    """Judge a NIfTI file by its header alone, cheaply; other formats only by their presence.

    Raises:
        BadVolume: unreadable, not 3D, not a number per voxel, no geometry, too large.
    """
    if not path.is_file():
        raise BadVolume(path.as_posix(), "there is no such file")
    module, package = READERS.get(path.suffix.lower(), ("nibabel", "nibabel"))
    if importlib.util.find_spec(module) is None:
        raise BadVolume(path.as_posix(), f"cannot be read: install {package} for {path.suffix}")
    if module != "nibabel":
        return
    try:
        image = cast(SpatialImage, load(path))
        shape, affine = tuple(image.shape), np.asarray(image.affine)
        kind = image.header.get_data_dtype().kind
    except Exception as error:
        raise _unreadable(path, error) from error
    if kind not in "iuf":
        raise BadVolume(path.as_posix(), "its voxels are colours or complex numbers, not one value")
    _check_geometry(path, shape, affine, spacing)


def read_source(source: Source, *, spacing: Sequence[float] | None = None) -> tuple[Tensor, Tensor]:
    """Read the channels of a sample, oriented to RAS and resampled to `spacing` (z, y, x, in mm).

    Returns:
        `volume`, float32 (C, z, y, x) in the files' unit, z upwards, y to the front, x to the
        right, and the affine (4, 4) that takes (x, y, z, 1) indices to mm. Voxels that are not
        finite in the file, and those interpolated from them, are NaN.

    Raises:
        BadVolume: a file cannot be used, or the channels do not share one grid.
    """
    channels = [_read_oriented(path, spacing) for path in source.files]
    _check_same_grid(source, channels)
    stacked = MetaTensor(torch.cat([c.as_tensor() for c in channels]), affine=channels[0].affine)
    finite = torch.isfinite(stacked.as_tensor())
    if spacing is not None:
        stacked, finite = _resample(stacked, finite, spacing)
    volume = stacked.as_tensor().masked_fill(~finite, math.nan)
    # MONAI counts x, y, z; everything here counts z, y, x.
    return volume.permute(0, 3, 2, 1).contiguous(), stacked.affine.to(torch.float64)


def _read_oriented(path: Path, spacing: Sequence[float] | None) -> MetaTensor:
    check_header(path, spacing=spacing)
    try:
        image = LoadImage(image_only=True, dtype=np.float32)(path)
    except MemoryError:
        raise
    except Exception as error:  # readers raise whatever their libraries raise
        raise _unreadable(path, error) from error
    shape, affine = tuple(image.shape), image.affine.numpy()
    _check_geometry(path, shape, affine, spacing)
    image = image.reshape(1, *shape[:3])
    return cast(MetaTensor, Orientation(axcodes="RAS", labels=RAS_LABELS)(image))


def _resample(
    stacked: MetaTensor, finite: Tensor, spacing: Sequence[float]
) -> tuple[MetaTensor, Tensor]:
    """Trilinear resampling; a new voxel is finite where all that it is made of is."""
    to_spacing = Spacing(pixdim=tuple(reversed(spacing)), mode="bilinear", dtype=np.float32)
    filled = MetaTensor(stacked.as_tensor().masked_fill(~finite, 0.0), affine=stacked.affine)
    resampled = cast(MetaTensor, to_spacing(filled))
    if bool(finite.all()):
        return resampled, torch.isfinite(resampled.as_tensor())
    weight = MetaTensor(finite.to(torch.float32), affine=stacked.affine)
    return resampled, cast(MetaTensor, to_spacing(weight)).as_tensor() > 0.999


def _check_geometry(
    path: Path, shape: tuple[int, ...], affine: np.ndarray, spacing: Sequence[float] | None
) -> None:
    """`shape` in the file's own order; trailing axes of one are no axes."""
    name = path.as_posix()
    edges = shape[:3]
    if any(size > 1 for size in shape[3:]):
        raise BadVolume(
            name,
            f"shape {shape} has {len(shape)} dimensions, 3 are needed: split it into 3D files and "
            "give them as data.channels",
        )
    if len(edges) < 3 or min(edges) < 2:
        raise BadVolume(name, f"shape {shape} is a 2D image, a 3D volume is needed")
    steps = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.zeros(3)
    if not abs(np.linalg.det(affine[:3, :3] / np.maximum(steps, 1e-12))) > 1e-3:
        raise BadVolume(name, "its header gives no usable voxel size and orientation")
    if spacing is not None:
        # The file's axes are not oriented yet: the bound holds whichever way they turn.
        voxels = math.prod(edges) * math.prod(steps) / math.prod(spacing)
        if voxels > MAX_VOXELS:
            raise BadVolume(
                name,
                f"resampled from {tuple(round(float(s), 3) for s in steps)} mm it would have "
                f"{voxels:.1e} voxels, {MAX_VOXELS:.0e} are allowed: check its voxel size and "
                "data.spacing",
            )


def _check_same_grid(source: Source, channels: Sequence[MetaTensor]) -> None:
    first = channels[0]
    size = torch.tensor([*first.shape[1:], 1], dtype=torch.float64)
    corners = torch.cartesian_prod(*(torch.tensor([0.0, 1.0], dtype=torch.float64),) * 3)
    corners = torch.cat([corners * (size[:3] - 1), torch.ones(8, 1, dtype=torch.float64)], dim=1)
    affine = first.affine.to(torch.float64)
    step = affine[:3, :3].norm(dim=0).min()
    for path, channel in zip(source.files[1:], channels[1:], strict=True):
        if channel.shape != first.shape:
            raise BadVolume(
                path.as_posix(),
                f"{tuple(channel.shape[1:])} voxels (x, y, z), but {source.files[0].name} has "
                f"{tuple(first.shape[1:])}: channels must share one grid",
            )
        shift = ((channel.affine.to(torch.float64) - affine) @ corners.T)[:3].norm(dim=0).max()
        if shift > step:
            raise BadVolume(
                path.as_posix(),
                f"lies up to {shift:.1f} mm away from {source.files[0].name}: register the "
                "channels to one grid first",
            )


def _unreadable(path: Path, error: Exception) -> BadVolume:
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else type(error).__name__
    return BadVolume(path.as_posix(), f"cannot be read: {first_line}")
