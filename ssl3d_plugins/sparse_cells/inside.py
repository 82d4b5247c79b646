"""Operations that stay inside a cell (kernel = stride): one matrix product over all cells."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Triple


def split_blocks(features: Tensor, *, block: Triple) -> Tensor:
    """(N, e…, C) to (N, e/s…, s³, C): the sites of each block of s sites side by side."""
    n, ez, ey, ex, c = features.shape
    sz, sy, sx = block
    cut = features.reshape(n, ez // sz, sz, ey // sy, sy, ex // sx, sx, c)
    return cut.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6)


def join_blocks(blocks: Tensor, *, block: Triple) -> Tensor:
    """Inverse of `split_blocks`."""
    n, ez, ey, ex, _, c = blocks.shape
    sz, sy, sx = block
    apart = blocks.reshape(n, ez, ey, ex, sz, sy, sx, c).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return apart.reshape(n, ez * sz, ey * sy, ex * sx, c)


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int = 1) -> Tensor:
    """(N, e…, I) and a weight (O, I/groups, s…) to (N, e/s…, O)."""
    o, i, sz, sy, sx = weight.shape
    blocks = split_blocks(features, block=(sz, sy, sx))
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
