"""What is restored: the hidden patches of a volume, normalised each by itself or as they are.

A patch is one cell. Normalisation per patch is that of masked autoencoders (arXiv 2111.06377,
section 4.1) and SparK (arXiv 2301.03580, section 3.3), here over valid voxels and per channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product
from ssl3d.kinds.output import PretrainOutput
from ssl3d.precision import at_least_single
from ssl3d.sparse import join_cells, split_cells

EPSILON = 1e-6
"""Added to the variance under the root."""

NO_CONTRAST = 1e-6
"""A patch of a channel whose variance is at most this, in squared units of the volume, is air."""


@dataclass(frozen=True, eq=False)
class PatchStatistics:
    """Mean and biased variance of each patch and channel over its valid voxels.

    Attributes:
        mean: (M, 1, C); 0 in a patch without a valid voxel.
        variance: (M, 1, C); 0 in a patch without a valid voxel.
    """

    mean: Tensor
    variance: Tensor

    @property
    def contrast(self) -> Tensor:
        """(M, 1, C) bool: the patch is more than air or padding in this channel."""
        return self.variance > NO_CONTRAST

    def normalise(self, patches: Tensor) -> Tensor:
        """(M, V, C) intensities to (x - mean) / sqrt(variance + 1e-6)."""
        return (patches - self.mean) / (self.variance + EPSILON).sqrt()

    def denormalise(self, patches: Tensor) -> Tensor:
        """(M, V, C) normalised values to intensities: the inverse of `normalise`."""
        return patches * (self.variance + EPSILON).sqrt() + self.mean


def patch_statistics(patches: Tensor, *, valid: Tensor) -> PatchStatistics:
    """Mean and variance of patches (M, V, C) over their valid voxels (M, V, 1)."""
    count = valid.sum(1, keepdim=True).clamp(min=1)
    mean = torch.where(valid, patches, 0).sum(1, keepdim=True) / count
    # Once more on what is left: the rounding of a large constant's mean would pass for contrast.
    mean = mean + torch.where(valid, patches - mean, 0).sum(1, keepdim=True) / count
    variance = torch.where(valid, patches - mean, 0).square().sum(1, keepdim=True) / count
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


@dataclass(frozen=True, eq=False)
class HiddenPatches:
    """The hidden patches of a batch: M of V voxels.

    Attributes:
        positions: (M,) raster index of each patch in the batch's B·Gd·Gh·Gw cells.
        prediction: (M, V, C) in units of the target, at least single precision.
        target: (M, V, C), without gradient.
        scored: (M, V, C) bool, what a loss may count: valid voxels, and for the normalised target
            only in channels with contrast. Elsewhere the values mean nothing and may be NaN.
    """

    positions: Tensor
    prediction: Tensor
    target: Tensor
    scored: Tensor


def restoration(output: PretrainOutput) -> Tensor:
    """The prediction, (B, C, D, H, W).

    Raises:
        ValueError: nothing was restored.
    """
    if output.prediction is None:
        raise ValueError(
            "nothing was restored, since no loss of the spec needs it: a loss that looks at the "
            'prediction says so in its config, by "restoration" among its needs()'
        )
    return output.prediction


def hidden_patches(output: PretrainOutput) -> HiddenPatches:
    """Prediction and target of the patches that level 0 hides; raises as `restoration` does."""
    cell = output.cells.cell
    positions = output.levels.levels[0].flatten().nonzero().flatten()
    prediction, target, valid = (
        gather_patches(volume, positions=positions, cell=cell)
        for volume in (restoration(output), output.volume.detach(), output.valid[:, None])
    )
    prediction, target = at_least_single(prediction), at_least_single(target)
    scored = valid.expand_as(target)
    if output.target == "patch_normalised":
        statistics = patch_statistics(target, valid=valid)
        target = statistics.normalise(target)
        scored = scored & statistics.contrast
    return HiddenPatches(positions, prediction, target, scored)


def trivial_prediction(output: PretrainOutput, *, patches: HiddenPatches) -> Tensor:
    """What needs no network, (M, V, C): the mean, which is 0 for the normalised target.

    For the target `voxels` it is the mean of the sample's visible valid voxels, per channel, and 0
    where a sample shows none.
    """
    if output.target == "patch_normalised":
        return torch.zeros_like(patches.target)
    cells = output.cells
    shown = cells.gather(output.valid[:, None])
    values = torch.where(shown, at_least_single(cells.gather(output.volume.detach())), 0)
    by_sample = (torch.split(part, list(cells.counts)) for part in (values, shown))
    means = [
        value.sum((0, 1, 2, 3)) / valid.sum().clamp(min=1)
        for value, valid in zip(*by_sample, strict=True)
    ]
    sample = patches.positions // product(cells.grid)
    return torch.stack(means).index_select(0, sample)[:, None].expand_as(patches.target)


def restored_volume(output: PretrainOutput) -> Tensor:
    """The volume with its hidden cells replaced by the prediction, in intensities, for pictures.

    A normalised prediction is brought back with the true mean and variance of each hidden patch,
    which a user does not have: say so beside the picture, and compute no PSNR or SSIM from it
    without that label. Invalid voxels stay 0.

    Returns:
        (B, C, D, H, W), without gradient.
    """
    cell, restored = output.cells.cell, restoration(output).detach()
    positions = output.levels.levels[0].flatten().nonzero().flatten()
    boxes = split_cells(output.volume.detach(), cell=cell)
    truth, prediction, valid = (
        gather_patches(volume, positions=positions, cell=cell)
        for volume in (output.volume.detach(), restored, output.valid[:, None])
    )
    prediction = prediction.to(boxes.dtype)
    if output.target == "patch_normalised":
        prediction = patch_statistics(truth, valid=valid).denormalise(prediction)
    pasted = torch.where(valid, prediction, 0).view(-1, *boxes.shape[1:])
    return join_cells(boxes.index_copy(0, positions, pasted), grid=output.cells.grid)
