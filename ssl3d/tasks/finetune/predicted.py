"""A predicted volume as it is kept, and brought back onto the grid of its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.files import write_json, written_whole

Restore = Callable[[Tensor], tuple[NDArray[np.float32], NDArray[np.float64]]]
"""(K, D, H, W) on the grid of the prepared volume to (K, ...) on that of its file, interpolated
linearly, 0 or NaN where nothing was prepared; and the file's affine (4, 4) to RAS in mm."""

LABELS = ".labels.json"


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
    count = outputs * size[0] * size[1] * size[2]
    kept = torch.from_file(str(file), shared=True, size=count, dtype=torch.float16)
    kept = kept.view(outputs, *size)
    for start, slab in slabs:
        kept[:, start : start + slab.shape[1]] = slab.half()
    return kept


def restored_classes(
    probabilities: Tensor, *, restore: Restore
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The likeliest class of each voxel of the file, and its affine.

    Probabilities are brought back one class at a time: that is smoother than bringing back the
    classes, and needs three volumes at once, whatever their number. What was not prepared is
    background.
    """
    best: NDArray[np.float32] | None = None
    for number, one in enumerate(probabilities):
        (values,), affine = restore(one[None].float())
        if best is None:
            best, classes = np.nan_to_num(values), np.zeros(values.shape, dtype=np.int32)
            continue
        more = values > best
        best[more], classes[more] = values[more], number
    assert best is not None
    return classes, affine


def write_segmentation(
    file: Path,
    classes: NDArray[np.int32],
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
    """A NIfTI file, whole or not at all."""
    with written_whole(file) as unfinished:
        # nibabel tells the format from the ending, so the file gets its name from within.
        ending = ".nii.gz" if file.name.endswith(".gz") else ".nii"
        own = unfinished.with_name(unfinished.name + ending)
        try:
            nibabel.save(image, own)
            own.replace(unfinished)
        finally:
            own.unlink(missing_ok=True)
