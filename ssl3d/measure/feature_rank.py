"""Effective rank of features: how many directions they use. It falls when features collapse."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ssl3d.precision import double
from ssl3d.sparse import FeatureMap, SparseVolume


def rankme(gram: Tensor) -> float:
    """RankMe (Garrido et al., arXiv 2210.02885, equations 1 and 2).

    exp(entropy) of the singular values of the (n, C) features, as shares of their sum.

    Args:
        gram: (C, C), features transposed times features, in double precision.

    Returns:
        A number from 1 (one direction) to C; 0 where all features are zero, NaN where one is not
        finite.
    """
    if not bool(gram.isfinite().all()):
        return math.nan
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    total = singular.sum()
    if not total > 0:
        return 0.0
    shares = singular / total
    entropy = -torch.special.xlogy(shares, shares).sum()
    return float(entropy.exp())


def gram(features: FeatureMap) -> Tensor:
    """(C, C) in double precision: the sum over sites of each feature's outer product with itself.

    Of a sparse volume the visible sites count.
    """
    if isinstance(features, SparseVolume):
        rows = features.sites
    else:
        rows = features.movedim(1, -1).flatten(0, -2)
    rows = double(rows.detach())
    return rows.T @ rows
