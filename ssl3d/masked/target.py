"""What is restored: the hidden patches of a volume, normalised each by itself or as they are.

A patch is one cell. Normalisation per patch is that of masked autoencoders (arXiv 2111.06377,
section 4.1) and SparK (arXiv 2301.03580, section 3.3), here over valid voxels and per channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product
from ssl3d.kinds.batch import ViewBatch
from ssl3d.kinds.output import Target, ViewOutput
from ssl3d.kinds.patches import HiddenPatches, PatchStatistics
from ssl3d.precision import at_least_single
from ssl3d.sparse import join_cells, split_cells


def patch_statistics(patches: Tensor, *, valid: Tensor | None) -> PatchStatistics:
    """Mean and variance of patches (M, V, C) over their valid voxels (M, V, 1), None: all.

    A patch has the same values to the last bit whether the patches beside it have padding or not.
    """

    def inside(values: Tensor) -> Tensor:
        return values if valid is None else torch.where(valid, values, 0)

    if valid is None:
        count = torch.full_like(patches[:, :1, :1], patches.shape[1], dtype=torch.long)
    else:
        count = valid.sum(1, keepdim=True).clamp(min=1)
    mean = inside(patches).sum(1, keepdim=True) / count
    # Once more on what is left: the rounding of a large constant's mean would pass for contrast.
    mean = mean + inside(patches - mean).sum(1, keepdim=True) / count
    variance = inside(patches - mean).square().sum(1, keepdim=True) / count
    return PatchStatistics(mean, variance)


def gather_patches(volume: Tensor, *, positions: Tensor, cell: Triple) -> Tensor:
    """Some cells of a volume.

    Args:
        volume: (B, C, D, H, W).
        positions: (M,) raster index of each cell in the batch's B·Gd·Gh·Gw cells.
        cell: voxels per cell.

    Returns:
        (M, V, C), V = voxels per cell.
    """
    return split_cells(volume, cell=cell).index_select(0, positions).flatten(1, 3)


def hidden_patches(batch: ViewBatch, *, prediction: Tensor, target: Target) -> HiddenPatches:
    """Prediction (R, C, D, H, W) and target of the patches that level 0 hides."""
    predicted, truth = (
        at_least_single(_hidden(volume, batch)) for volume in (prediction, batch.volume.detach())
    )
    valid = None if batch.valid is None else _hidden(batch.valid[:, None], batch)
    scored = torch.ones_like(truth, dtype=torch.bool) if valid is None else valid.expand_as(truth)
    statistics = None
    if target == "patch_normalised":
        statistics = patch_statistics(truth, valid=valid)
        truth, scored = statistics.normalise(truth), scored & statistics.contrast
    return HiddenPatches(
        batch.hidden_positions[0], predicted, truth, scored, valid=valid, statistics=statistics
    )


def trivial_prediction(view: ViewOutput) -> Tensor:
    """What needs no network, (M, V, C): the mean, which is 0 for the normalised target.

    For the target `voxels` it is the mean of the row's visible valid voxels, per channel, and 0
    where a row shows none.
    """
    patches, batch = view.patches, view.batch
    if view.target == "patch_normalised":
        return torch.zeros_like(patches.target)
    cells = batch.cells
    values = at_least_single(cells.gather(batch.volume.detach())).flatten(1, 3)
    shown = torch.ones_like(values[..., :1], dtype=torch.bool)
    if batch.valid is not None:
        shown = cells.gather(batch.valid[:, None]).flatten(1, 3)
    by_row = (torch.split(part, list(cells.counts)) for part in (values, shown))
    means = [
        torch.where(seen, value, 0).sum((0, 1)) / seen.sum().clamp(min=1)
        for value, seen in zip(*by_row, strict=True)
    ]
    row = patches.positions // product(cells.grid)
    return torch.stack(means).index_select(0, row)[:, None].expand_as(patches.target)


def restored_volume(view: ViewOutput, *, prediction: Tensor | None = None) -> Tensor:
    """The volume with its hidden cells replaced by a prediction, in intensities, for pictures.

    A normalised prediction is brought back with the true mean and variance of each hidden patch,
    which a user does not have: say so beside the picture, and compute no PSNR or SSIM from it
    without that label. Invalid voxels stay 0.

    Args:
        view: what was restored.
        prediction: (M, V, C) in place of its own.

    Returns:
        (R, C, D, H, W), without gradient.
    """
    batch, patches = view.batch, view.patches
    predicted = patches.intensities(
        (patches.prediction if prediction is None else prediction).detach()
    )
    boxes = split_cells(batch.volume.detach(), cell=batch.cells.cell)
    pasted = predicted.to(boxes.dtype).reshape(-1, *boxes.shape[1:])
    return join_cells(boxes.index_copy(0, patches.positions, pasted), grid=batch.cells.grid)


def _hidden(volume: Tensor, batch: ViewBatch) -> Tensor:
    """(M, V, C): the cells of a volume that level 0 hides."""
    return gather_patches(volume, positions=batch.hidden_positions[0], cell=batch.cells.cell)
