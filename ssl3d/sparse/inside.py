"""Operations that stay inside a cell (kernel = stride): dense ones on a batch of small boxes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple
from ssl3d.precision import as_autocast, no_autocast
from ssl3d.sparse.layout import channels_first, channels_last


def apply(features: Tensor, op: Operation, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """(N, e…, I) to (N, e'…, O), e' the edge after `op`; pools and interpolation take no weight."""
    if weight is not None:
        weight = as_autocast(weight)  # in whose precision features are rearranged
        bias = None if bias is None else as_autocast(bias)
        compute = convolve if op.kind == "conv3d" else convolve_transposed
        with no_autocast(features):
            # Sums over groups come in an order of axes of their own.
            return compute(features, weight, bias, groups=op.groups).contiguous()
    if op.kind == "avg_pool3d":
        return block_means(features, block=op.kernel)
    boxes = channels_first(features)
    if op.kind == "interpolate":
        scale = tuple(float(s) for s in op.stride)
        finer = F.interpolate(boxes, scale_factor=scale, mode="trilinear", align_corners=False)
        return channels_last(finer)
    return channels_last(F.max_pool3d(boxes, op.kernel, op.stride))


def block_means(features: Tensor, *, block: Triple) -> Tensor:
    """(N, e…, C) to (N, e/s…, C): the mean of each block of s sites."""
    n, ez, ey, ex, c = features.shape
    sz, sy, sx = block
    blocks = features.view(n, ez // sz, sz, ey // sy, sy, ex // sx, sx, c)
    if features.device.type == "cpu":  # axis by axis it is there seven times faster
        return blocks.mean(2).mean(3).mean(4)
    return blocks.mean((2, 4, 6))


def split_blocks(features: Tensor, *, block: Triple, dtype: torch.dtype | None = None) -> Tensor:
    """(N, e…, C) to (N, e/s…, s³, C): the sites of each block of s sites side by side.

    In another precision where `dtype` says so.
    """
    n, ez, ey, ex, c = features.shape
    sz, sy, sx = block
    cut = features.reshape(n, ez // sz, sz, ey // sy, sy, ex // sx, sx, c)
    blocks = cut.permute(0, 1, 3, 5, 2, 4, 6, 7)
    if dtype is not None:  # on the way: one copy does both
        blocks = blocks.to(dtype, memory_format=torch.contiguous_format)
    return blocks.flatten(4, 6)


def join_blocks(blocks: Tensor, *, block: Triple) -> Tensor:
    """Inverse of `split_blocks`."""
    n, ez, ey, ex, _, c = blocks.shape
    sz, sy, sx = block
    apart = blocks.reshape(n, ez, ey, ex, sz, sy, sx, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return apart.reshape(n, ez * sz, ey * sy, ex * sx, c)


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int = 1) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, s…) to (N, e/s…, O)."""
    o, i, sz, sy, sx = weight.shape
    blocks = split_blocks(features, block=(sz, sy, sx), dtype=weight.dtype)
    if groups == 1:
        flat = weight.permute(0, 2, 3, 4, 1).reshape(o, -1)
        return F.linear(blocks.flatten(4), flat, bias)
    x = blocks.view(*blocks.shape[:5], groups, i)
    w = weight.reshape(groups, o // groups, i, -1)
    y = torch.einsum("nzyxkgi,goik->nzyxgo", x, w).flatten(4)
    return y if bias is None else y + bias


def convolve_transposed(
    features: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int = 1
) -> Tensor:
    """(N, e…, I) and a weight (I, O/groups, s…) to (N, e·s…, O)."""
    i, o, sz, sy, sx = weight.shape
    k = sz * sy * sx
    features = features.to(weight.dtype)
    if groups == 1:
        flat = weight.permute(0, 2, 3, 4, 1).reshape(i, k * o).t()
        every = None if bias is None else bias.repeat(k)
        blocks = F.linear(features, flat, every).view(*features.shape[:4], k, o)
    else:
        x = features.view(*features.shape[:4], groups, i // groups)
        w = weight.reshape(groups, i // groups, o, k)
        blocks = torch.einsum("nzyxgi,giok->nzyxkgo", x, w).flatten(5)
        blocks = blocks if bias is None else blocks + bias
    return join_blocks(blocks, block=(sz, sy, sx))
