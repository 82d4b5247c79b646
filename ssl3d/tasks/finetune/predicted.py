"""A predicted volume as it is kept, and brought back onto the grid of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.files import write_json, written_whole

LABELS = ".labels.json"


class OnGrid(Protocol):
    """A prepared volume that knows its way back to the file.

    Attributes:
        volume: (C, D, H, W).
        valid: (D, H, W) bool.
        source_shape: of the file, along its own axes.
        source_affine: (4, 4) from its indices to RAS in mm.
    """

    @property
    def volume(self) -> Tensor: ...
    @property
    def valid(self) -> Tensor: ...
    @property
    def source_shape(self) -> tuple[int, int, int]: ...
    @property
    def source_affine(self) -> NDArray[np.float64]: ...

    def restore(
        self, values: Tensor, *, mode: Literal["nearest", "bilinear"], fill: float
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Values (..., D, H, W) on the grid of the file, and its affine to RAS in mm."""

    def pieces(
        self, values: Tensor, *, mode: Literal["nearest", "bilinear"], fill: float
    ) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Boxes along the file's own axes, and the values (K, ...) in each."""


def kept_map(
    slabs: Iterable[tuple[int, Tensor]], *, outputs: int, size: tuple[int, int, int], file: Path
) -> Tensor:
    """All slabs in half precision, in a file that memory is a window to.

    Args:
        slabs: of `predicted_slabs`.
        outputs: K.
        size: D, H, W.
        file: of K · D · H · W · 2 bytes; it may be removed once the map is not used any more.

    Returns:
        (K, D, H, W) half.
    """
    # Not torch.from_file, which takes no name that is not UTF-8.
    kept = torch.from_numpy(np.memmap(file, np.float16, mode="w+", shape=(outputs, *size)))
    for start, slab in slabs:
        kept[:, start : start + slab.shape[1]] = slab.half()
    return kept


def restored_classes(
    probabilities: Tensor, *, prepared: OnGrid
) -> NDArray[np.unsignedinteger[Any]]:
    """The likeliest class of each voxel of the file, along its own axes.

    Probabilities are brought back and not the classes, which is smoother. The file is filled piece
    by piece, so that memory grows neither with it, its classes aside, nor with their number. What
    was not prepared is background.
    """
    classes = np.zeros(prepared.source_shape, dtype=np.min_scalar_type(len(probabilities)))
    for box, values in prepared.pieces(probabilities, mode="bilinear", fill=0.0):
        classes[box] = values.argmax(axis=0)
    return classes


def write_segmentation(
    file: Path,
    classes: NDArray[np.unsignedinteger[Any]],
    *,
    affine: NDArray[np.float64],
    legend: Mapping[str, int],
) -> None:
    """A NIfTI file of label values, and their names in `NAME.labels.json` beside it.

    Args:
        file: ends with .nii.gz or .nii.
        classes: on the grid of the source, in its own order of axes.
        affine: of the source, (4, 4) to RAS in mm.
        legend: name to value of each class from 1; class 0 is background.
    """
    values = np.array([0, *legend.values()])
    small = np.min_scalar_type(int(values.max()))
    image = nibabel.Nifti1Image(values.astype(small)[classes], affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    write_image(file, image)
    name = file.name.removesuffix(".gz").removesuffix(".nii")
    write_json(file.with_name(name + LABELS), {"background": 0, **legend})


def write_image(file: Path, image: nibabel.Nifti1Image) -> None:
    """A NIfTI file, its geometry in mm, whole or not at all."""
    image.header.set_xyzt_units("mm")
    with written_whole(file) as unfinished:
        # nibabel tells the format from the ending, so the file gets its name from within.
        ending = ".nii.gz" if file.name.endswith(".gz") else ".nii"
        own = unfinished.with_name(unfinished.name + ending)
        try:
            nibabel.save(image, own)
            own.replace(unfinished)
        finally:
            own.unlink(missing_ok=True)
