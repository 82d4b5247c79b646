"""Visible sites of a stage: what lies in them, which can be told apart, and a sample of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple, quotient
from ssl3d.kinds.batch import ViewBatch
from ssl3d.masked.target import patch_statistics


def group_sites(features: Tensor, *, factor: Triple) -> Tensor:
    """Put together the finer sites that make up one coarser site.

    Args:
        features: (N, cd, ch, cw, C), cells at the finer stage.
        factor: finer sites in a coarser one, per axis; 1 where the strides are equal.

    Returns:
        (N·e³, V, C), e = c / factor, V = finer sites in a coarser one; rows in the order of
        `SparseVolume.sites` at the coarser stage.
    """
    n, cd, ch, cw, channels = features.shape
    (ed, eh, ew), (fd, fh, fw) = quotient((cd, ch, cw), factor), factor
    boxes = features.reshape(n, ed, fd, eh, fh, ew, fw, channels).permute(0, 1, 3, 5, 2, 4, 6, 7)
    return boxes.reshape(n * ed * eh * ew, fd * fh * fw, channels)


def sites_with_contrast(batch: ViewBatch, *, stride: Triple) -> Tensor:
    """(N·e³,) bool: visible sites whose valid voxels vary in at least one channel.

    Sites of air or padding look alike, so none can be told from another.
    """
    voxels = group_sites(batch.cells.gather(batch.volume), factor=stride)
    valid = None
    if batch.valid is not None:
        valid = group_sites(batch.cells.gather(batch.valid[:, None]), factor=stride)
    return patch_statistics(voxels, valid=valid).contrast.any(-1).flatten()


def sample_sites(
    usable: Tensor, *, counts: Sequence[int], samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw up to `samples` different usable sites of each row of the batch.

    Args:
        usable: (S,) bool over the visible sites of the batch, sorted by row.
        counts: visible sites of each row; R numbers with the sum S.
        samples: how many to draw, K.
        generator: a CPU generator; S numbers are drawn whatever is usable.

    Returns:
        Places (R, K) among the S sites and used (R, K) bool. Of rows with fewer usable sites than
        K the rest is not used, and those with fewer than two have nothing to contrast and use none.
        Places that are not used are 0.
    """
    scores = torch.rand(len(usable), generator=generator, dtype=torch.float32)
    if usable.device.type == "cuda":
        scores = scores.pin_memory()
    scores = torch.where(usable, scores.to(usable.device, non_blocking=True), -1.0)
    places, used = [], []
    for first, row in zip(
        accumulate(counts, initial=0), torch.split(scores, list(counts)), strict=False
    ):
        top = F.pad(row, (0, max(samples - len(row), 0)), value=-1.0).topk(samples)
        found = top.values >= 0
        found = found & (found.sum() >= 2)
        places.append(torch.where(found, top.indices + first, 0))
        used.append(found)
    return torch.stack(places), torch.stack(used)
