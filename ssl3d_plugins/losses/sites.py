"""Visible sites of a stage: what lies in them, which can be told apart, and a sample of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ssl3d.geometry import Triple, quotient
from ssl3d.kinds.output import PretrainOutput
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


def sites_with_contrast(output: PretrainOutput, *, stride: Triple) -> Tensor:
    """(N·e³,) bool: visible sites whose valid voxels vary in at least one channel.

    Sites of air or padding look alike, so none can be told from another.
    """
    voxels = group_sites(output.cells.gather(output.volume), factor=stride)
    valid = group_sites(output.cells.gather(output.valid[:, None]), factor=stride)
    return patch_statistics(voxels, valid=valid).contrast.any(-1).flatten()


def sample_sites(
    usable: Tensor, *, counts: Sequence[int], samples: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw up to `samples` different usable sites of each sample of the batch.

    Args:
        usable: (S,) bool over the visible sites of the batch, sorted by sample.
        counts: visible sites of each sample; B numbers with the sum S.
        samples: how many to draw, at most.
        generator: a CPU generator; S numbers are drawn whatever is usable.

    Returns:
        Rows (B, K) into the S sites and used (B, K) bool, K <= samples. Samples with fewer than
        two usable sites have nothing to contrast and use none. Rows that are not used are 0.
    """
    scores = torch.rand(len(usable), generator=generator, dtype=torch.float32)
    scores = torch.where(usable, scores.to(usable.device), -1.0)
    by_sample = torch.split(scores, list(counts))
    padded = pad_sequence(list(by_sample), batch_first=True, padding_value=-1.0)
    top = padded.topk(min(samples, padded.shape[1]), dim=1)
    used = top.values >= 0
    used = used & (used.sum(1, keepdim=True) >= 2)
    first = torch.tensor([0, *accumulate(counts)][:-1], device=usable.device)
    return torch.where(used, top.indices + first[:, None], 0), used
