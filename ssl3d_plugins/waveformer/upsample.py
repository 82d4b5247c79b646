"""Trilinear up-sampling by 2 that never looks at hidden sites."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple
from ssl3d.sparse import FeatureMap, SparseVolume


def up_twice(x: FeatureMap, *, factor: Triple) -> FeatureMap:
    """Twice as many sites on the axes where `factor` is 2, 1 elsewhere.

    Trilinear (align_corners=False) is a transposed convolution with the weights 1/4, 3/4, 3/4, 1/4.
    On visible cells it is divided by the same operation on ones, so the weights of hidden sites go
    to the visible ones. At the border of a volume that is what the dense operation does: with
    nothing hidden, both are equal.
    """
    if not isinstance(x, SparseVolume):
        scale = [float(f) for f in factor]
        return F.interpolate(x, scale_factor=scale, mode="trilinear", align_corners=False)
    y = _spread(x, factor=factor)
    weights = x.cells.table(
        ("waveformer up-sampling", x.stride, factor, x.features.dtype), lambda: _weights(x, factor)
    )
    return y.map(lambda features: features / weights)


def _weights(x: SparseVolume, factor: Triple) -> Tensor:
    """(N, 2cd, 2ch, 2cw, 1): the share of the weights that lies on visible sites."""
    with torch.no_grad():
        ones = x.with_features(torch.ones_like(x.features[..., :1]))
        return _spread(ones, factor=factor).features


def _spread(x: SparseVolume, *, factor: Triple) -> SparseVolume:
    """The transposed convolution, for each channel by itself."""
    weight = x.features.new_ones(x.channels, 1, 1, 1, 1)
    line = x.features.new_tensor([0.25, 0.75, 0.75, 0.25])
    for axis, f in enumerate(factor):
        if f == 2:
            shape = [4 if a == axis + 2 else 1 for a in range(5)]
            weight = weight * line.view(shape)
    z, y, x_ = (f - 1 for f in factor)
    return x.backend.conv_transpose3d(
        x, weight, stride=factor, padding=(z, y, x_), groups=x.channels
    )
