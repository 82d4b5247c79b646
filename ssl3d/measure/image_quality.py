"""PSNR and SSIM of restored voxels, in intensities."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from monai.metrics.regression import KernelType, compute_ssim_and_cs
from torch import Tensor

from ssl3d.kinds.output import ViewOutput
from ssl3d.masked.target import restored_volume, trivial_prediction
from ssl3d.sparse.hidden import cells_to_voxels

WINDOW, SIGMA = 11, 1.5
"""Gaussian window of SSIM in voxels (Wang et al. 2004, section III.C); smaller in small crops."""

TRUE_STATISTICS = "_true_statistics"
"""End of the names of numbers that no user could get: for the normalised target, the mean and
contrast of each hidden patch are taken from the original."""


def image_quality(view: ViewOutput) -> Iterator[dict[str, float]]:
    """Numbers for each row and channel, over its hidden and valid voxels; none without contrast,
    and none of a channel that a sample lacks.

    `psnr` in dB and `ssim` (of windows centred there, left out where there are none), and the same
    under `.../trivial` for the prediction that needs no network. The data range is that of the
    row's valid voxels. Names end with `_true_statistics` where the target is normalised.
    """
    batch = view.batch
    end = TRUE_STATISTICS if view.target == "patch_normalised" else ""
    trivial = restored_volume(view, prediction=trivial_prediction(view))
    restored = {"": restored_volume(view), "/trivial": trivial}
    scored = cells_to_voxels(batch.hidden.levels[0], cell=batch.cells.cell)
    valid = torch.ones_like(scored) if batch.valid is None else batch.valid
    scored = scored & valid
    for i, original in enumerate(batch.volume.detach().float()):
        for channel, truth in enumerate(original):
            values = truth[valid[i]]
            if not scored[i].any() or values.max() == values.min():
                yield {}
                continue
            span = float(values.max() - values.min())
            found: dict[str, float] = {}
            for who, volume in restored.items():
                guess = volume[i, channel].float()
                found[f"psnr{end}{who}"] = _psnr(guess, truth=truth, scored=scored[i], span=span)
                ssim = _ssim(guess, truth=truth, scored=scored[i], span=span)
                if ssim is not None:
                    found[f"ssim{end}{who}"] = ssim
            yield found


def _psnr(guess: Tensor, *, truth: Tensor, scored: Tensor, span: float) -> float:
    error = (guess - truth)[scored].square().mean().clamp(min=1e-12 * span**2)
    return float(10 * torch.log10(span**2 / error))


def _ssim(guess: Tensor, *, truth: Tensor, scored: Tensor, span: float) -> float | None:
    """Mean over windows that lie in the crop and are centred on a scored voxel; None without."""
    window = [min(WINDOW, edge - 1 + edge % 2) for edge in truth.shape]
    similar, _ = compute_ssim_and_cs(
        guess[None, None],
        truth[None, None],
        spatial_dims=3,
        data_range=span,
        kernel_type=KernelType.GAUSSIAN,
        kernel_size=window,
        kernel_sigma=[SIGMA] * 3,
    )
    inside = tuple(slice(w // 2, e - w // 2) for w, e in zip(window, truth.shape, strict=True))
    centred = similar[0, 0][scored[inside]]
    return float(centred.mean()) if centred.numel() else None
