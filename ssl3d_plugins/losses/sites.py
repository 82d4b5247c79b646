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

_WORD = 2**32 - 1
"""Random numbers have 32 bits."""


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
        generator: a CPU generator; one number is drawn, whatever is usable.

    Returns:
        Places (R, K) among the S sites and used (R, K) bool. Of rows with fewer usable sites than
        K the rest is not used, and those with fewer than two have nothing to contrast and use none.
        Places that are not used are 0.
    """
    seed = int(torch.randint(_WORD + 1, (), generator=generator))
    scores = torch.where(usable, _scores(len(usable), seed=seed, device=usable.device), -1)
    places, used = [], []
    for first, row in zip(
        accumulate(counts, initial=0), torch.split(scores, list(counts)), strict=False
    ):
        top = F.pad(row, (0, max(samples - len(row), 0)), value=-1).topk(samples)
        found = top.values >= 0
        found = found & (found.sum() >= 2)
        places.append(torch.where(found, top.indices + first, 0))
        used.append(found)
    return torch.stack(places), torch.stack(used)


def _scores(count: int, *, seed: int, device: torch.device) -> Tensor:
    """(S,) different random numbers from 0, the same on every device: nothing is copied to it."""
    return _hashed(_hashed(torch.arange(count, device=device)) ^ seed)


def _hashed(x: Tensor) -> Tensor:
    """Each of 2³² words to another one (C. Wellons, "Prospecting for Hash Functions", 2018)."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & _WORD
    x = (x ^ (x >> 15)) * 0x846CA68B & _WORD
    return x ^ (x >> 16)
