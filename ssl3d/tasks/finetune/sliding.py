"""A volume predicted by overlapping windows, slab by slab, so that memory does not grow with it.

The same as `sliding_window_inference` of MONAI with Gaussian weights, whose sums for the whole
volume take 4 · K bytes a voxel; here only the slices that windows still reach are held.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple
from ssl3d.tasks.finetune.averaged import averaged
from ssl3d.tasks.finetune.model import FinetuneModel
from ssl3d.tasks.finetune.window_spec import WindowSpec

SIGMA = 0.125
"""Of the Gaussian, as a share of the window, as in nnU-Net and MONAI."""

Corner = tuple[int, int, int]


def window_corners(size: Triple, *, patch: Triple, overlap: float) -> list[Corner]:
    """First voxels of the windows of a volume at least as large as the patch, z slowest."""
    steps = [
        p if p == s else max(1, int(p * (1 - overlap))) for p, s in zip(patch, size, strict=True)
    ]
    slices = dense_patch_slices(size, patch, steps)
    return [(z.start, y.start, x.start) for z, y, x in slices]


def at_least(
    volume: Tensor, *, valid: Tensor | None, patch: Triple
) -> tuple[Tensor, Tensor | None, Corner]:
    """A volume (C, D, H, W) padded on both sides to the size of a window where it is smaller.

    Returns:
        Volume, valid (D, H, W) or None, and where the first voxel now is.
    """
    size = volume.shape[1:]
    before = [max(0, (p - s) // 2) for p, s in zip(patch, size, strict=True)]
    after = [max(0, p - s - b) for p, s, b in zip(patch, size, before, strict=True)]
    padding = [n for pair in reversed(list(zip(before, after, strict=True))) for n in pair]
    if any(padding):
        known = torch.ones(size, dtype=torch.bool) if valid is None else valid
        volume, valid = F.pad(volume, padding), F.pad(known, padding)
    return volume, valid, (before[0], before[1], before[2])


def box_of(corner: Corner, *, patch: Triple) -> tuple[slice, slice, slice]:
    """The window at a corner."""
    z, y, x = (slice(c, c + p) for c, p in zip(corner, patch, strict=True))
    return z, y, x


def predicted_slabs(
    models: Sequence[FinetuneModel],
    volume: Tensor,
    *,
    patch: Triple,
    windows: WindowSpec,
    valid: Tensor | None = None,
    done: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Slabs of slices along z, in order and without gaps, as soon as no window reaches them.

    Windows are computed on the models' device; sums are kept on the CPU.

    Args:
        models: in evaluation mode, of one task on voxels, on one device.
        volume: (C, D, H, W), on the CPU.
        patch: size of a window.
        windows: overlap, mirroring, precision.
        valid: (D, H, W) bool; None where all voxels are valid.
        done: told after each batch how many windows of how many are done.

    Yields:
        First slice, and probabilities (K, slices, H, W) in single precision.
    """
    size = volume.shape[1:]
    volume, valid, before = at_least(volume, valid=valid, patch=patch)
    inner = tuple(slice(b, b + s) for b, s in zip(before, size, strict=True))
    for start, slab in _slabs(models, volume, patch=patch, windows=windows, valid=valid, done=done):
        first = max(start, before[0])
        last = min(start + slab.shape[1], before[0] + size[0])
        if first < last:
            yield first - before[0], slab[:, first - start : last - start, inner[1], inner[2]]


def _slabs(
    models: Sequence[FinetuneModel],
    volume: Tensor,
    *,
    patch: Triple,
    windows: WindowSpec,
    valid: Tensor | None,
    done: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, Tensor]]:
    """Of a volume at least as large as the patch."""
    depth, height, width = volume.shape[1:]
    corners = window_corners((depth, height, width), patch=patch, overlap=windows.overlap)
    gaussian = compute_importance_map(patch, mode="gaussian", sigma_scale=SIGMA).float()
    sums: Tensor | None = None
    weights = torch.zeros(patch[0], height, width)
    base = finished = 0
    for z, row in itertools.groupby(corners, key=lambda corner: corner[0]):
        if sums is not None and z > base:
            # No later window reaches the slices before this one.
            yield base, sums[:, : z - base] / weights[: z - base]
            for held in (sums, weights):
                kept = held[..., z - base :, :, :].clone()
                held.zero_()
                held[..., : patch[0] - (z - base), :, :] = kept
        base = z
        places = list(row)
        for at in range(0, len(places), windows.batch):
            boxes = [box_of(corner, patch=patch) for corner in places[at : at + windows.batch]]
            found = averaged(
                models,
                torch.stack([volume[:, *box] for box in boxes]),
                windows=windows,
                valid=None if valid is None else torch.stack([valid[box] for box in boxes]),
            ).cpu()
            if sums is None:
                sums = torch.zeros(found.shape[1], patch[0], height, width)
            for (_, y, x), one in zip(boxes, found, strict=True):
                sums[:, :, y, x] += one * gaussian
                weights[:, y, x] += gaussian
            finished += len(boxes)
            if done is not None:
                done(finished, len(corners))
    assert sums is not None
    yield base, sums / weights
