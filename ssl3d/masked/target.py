"""What is restored: the hidden patches of a volume, normalised each by itself or as they are, or
the features that a backbone makes of them.

A patch is one cell. Normalisation per patch is that of masked autoencoders (arXiv 2111.06377,
section 4.1) and SparK (arXiv 2301.03580, section 3.3), here over valid voxels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.kinds.batch import ViewBatch
from ssl3d.kinds.output import Target, ViewOutput
from ssl3d.kinds.patches import EPSILON, HiddenPatches, PatchStatistics
from ssl3d.masked.spec import NormalisationSpec
from ssl3d.precision import at_least_single
from ssl3d.sparse import join_cells, split_cells
from ssl3d.sparse.split import Where, pick_cells

NORMALISATION = NormalisationSpec()
"""Each channel by itself, with the biased variance."""


def patch_statistics(
    patches: Tensor, *, valid: Tensor | None, normalisation: NormalisationSpec = NORMALISATION
) -> PatchStatistics:
    """Mean and variance of patches (M, V, C) over their valid voxels, None: all.

    What is valid is (M, V, 1), alike in all channels, or (M, V, C).

    A patch has the same values to the last bit whether the patches beside it have padding or not.
    Channels that are normalised jointly count as further voxels.
    """
    if normalisation.channels == "joint":
        c = patches.shape[2]
        patches = patches.flatten(1)[:, :, None]
        valid = None if valid is None else valid.expand(-1, -1, c).flatten(1)[:, :, None]

    def inside(values: Tensor) -> Tensor:
        return values if valid is None else torch.where(valid, values, 0)

    count: Tensor | int = patches.shape[1]
    freedom: Tensor | int = max(count - 1, 1) if normalisation.unbiased else count
    if valid is not None:
        count = valid.sum(1, keepdim=True).clamp(min=1)
        freedom = (count - 1).clamp(min=1) if normalisation.unbiased else count
    mean = inside(patches).sum(1, keepdim=True) / count
    # Once more on what is left: the rounding of a large constant's mean would pass for contrast.
    left = inside(patches - mean)
    rest = left.sum(1, keepdim=True) / count
    squares = torch.linalg.vector_norm(left, dim=1, keepdim=True).square() - count * rest.square()
    return PatchStatistics(mean + rest, squares.clamp(min=0) / freedom)


def where_cells_are(positions: Tensor, *, grid: Triple) -> Where:
    """Sample, z, y, x of cells from their raster index in the batch's B·Gd·Gh·Gw cells."""
    gd, gh, gw = grid
    sample, z = positions // product(grid), positions // (gh * gw) % gd
    return sample, z, positions // gw % gh, positions % gw


def gather_patches(volume: Tensor, *, where: Where, cell: Triple) -> Tensor:
    """Some cells of a volume.

    Args:
        volume: (B, C, D, H, W).
        where: sample, z, y, x of each cell, (M,) each; none twice.
        cell: voxels per cell.

    Returns:
        (M, V, C), V = voxels per cell.
    """
    return pick_cells(volume, where=where, cell=cell).flatten(1, 3)


class Original(NamedTuple):
    """What patches are cut from.

    Attributes:
        values: (R, C, d, h, w), without gradient.
        valid: (R, d, h, w) bool; None where all sites are valid.
        site: voxels per site.
    """

    values: Tensor
    valid: Tensor | None
    site: Triple


def original_of(batch: ViewBatch, *, features: Tensor | None = None) -> Original:
    """The volume; or features that stand for it, each site's normalised over its channels.

    That is layer norm without parameters, as in data2vec (arXiv 2202.03555, section 3.3): the
    scale of features that are trained meanwhile says nothing. A site with some valid voxel counts.

    Args:
        batch: a level of views.
        features: (R, C, d, h, w), the backbone's deepest map; None: voxels are restored.
    """
    if features is None:
        return Original(batch.volume.detach(), batch.valid, (1, 1, 1))
    _, channels, d, h, w = features.shape
    whole = at_least_single(features.detach()).movedim(1, -1)
    values = F.layer_norm(whole, (channels,), eps=EPSILON).movedim(-1, 1)
    site = quotient(times(batch.cells.grid, batch.cells.cell), (d, h, w))
    valid = batch.valid
    if valid is not None:
        valid = F.max_pool3d(valid[:, None].float(), site, site)[:, 0] > 0
    return Original(values, valid, site)


def hidden_patches(
    batch: ViewBatch,
    *,
    prediction: Tensor,
    target: Target,
    normalisation: NormalisationSpec = NORMALISATION,
    features: Tensor | None = None,
) -> HiddenPatches:
    """Prediction and target of the patches that level 0 hides.

    Args:
        batch: a level of views.
        prediction: (R, C, d, h, w), of voxels or of the sites of `features`.
        target: what is restored.
        normalisation: of the target, where it is `patch_normalised`.
        features: the backbone's deepest map, where that is restored.
    """
    original = original_of(batch, features=features)
    where = where_cells_are(batch.hidden_positions[0], grid=batch.cells.grid)
    edge = quotient(batch.cells.cell, original.site)
    predicted, truth = (
        at_least_single(gather_patches(values, where=where, cell=edge))
        for values in (prediction, original.values)
    )
    valid = original.valid
    if valid is not None:
        valid = gather_patches(valid[:, None], where=where, cell=edge)
    if batch.present is not None and features is None:
        row = batch.hidden_positions[0] // product(batch.cells.grid)
        there = batch.present.index_select(0, row)[:, None]
        valid = there.expand_as(truth) if valid is None else valid & there
    statistics = None
    if target == "patch_normalised":
        statistics = patch_statistics(truth, valid=valid, normalisation=normalisation)
        truth, contrast = statistics.normalise(truth), statistics.contrast
        scored = contrast if valid is None else valid & contrast
    elif valid is None:
        scored = torch.ones_like(truth[:, :1, :1], dtype=torch.bool)
    else:
        scored = valid
    scored = scored.expand_as(truth)
    return HiddenPatches(
        batch.hidden_positions[0], predicted, truth, scored, valid=valid, statistics=statistics
    )


def trivial_prediction(view: ViewOutput) -> Tensor:
    """What needs no network, (M, V, C): the mean, which is 0 for the normalised target.

    For other targets it is the mean of the row's visible valid voxels, or sites, per channel, and 0
    where a row shows none. So features that are all alike make it small too.
    """
    patches, batch = view.patches, view.batch
    if view.target == "patch_normalised":
        return torch.zeros_like(patches.target)
    cells = batch.cells
    original = original_of(batch, features=view.deepest)
    values = at_least_single(cells.gather(original.values, stride=original.site)).flatten(1, 3)
    shown = torch.ones_like(values[..., :1], dtype=torch.bool)
    if original.valid is not None:
        shown = cells.gather(original.valid[:, None], stride=original.site).flatten(1, 3)
    by_row = (torch.split(part, list(cells.counts)) for part in (values, shown))
    means = [
        torch.where(seen, value, 0).sum((0, 1)) / seen.sum().clamp(min=1)
        for value, seen in zip(*by_row, strict=True)
    ]
    row = patches.positions // product(cells.grid)
    return torch.stack(means).index_select(0, row)[:, None].expand_as(patches.target)


def restored_volume(view: ViewOutput, *, prediction: Tensor | None = None) -> Tensor:
    """The volume with its hidden cells replaced by a prediction, in intensities, for pictures.

    Voxels must be what is restored.

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
