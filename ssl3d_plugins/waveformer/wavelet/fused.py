"""The Haar transform that attention needs, without its sub-bands.

Haar is orthonormal and its coarsest approximation of L levels is the mean of a block of 2^L sites
per axis, times 2^(L/2) per axis. So with untouched details

    IDWT(new, details(x)) = x + upsample(new - LLL) · 2^(-L/2 per axis)

and in units of the block mean, `new = LLL · 2^(-L/2 per axis)`, the scales vanish: the difference
of the means is added to each site of its block. Source: the orthonormality of Haar (Mallat 1989);
the block is that of WaveFormer (arXiv 2503.23764, section 3).

Blocks are a view: channels-last boxes (M, d, h, w, C) as (M, td, bd, th, bh, tw, bw, C), with
t blocks of b sites on each axis.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ssl3d.geometry import Triple

WITHIN = (2, 4, 6)


def split_blocks(boxes: Tensor, *, levels: Triple) -> Tensor:
    """(M, d, h, w, C) as blocks of 2^levels sites; d, h, w are multiples of them."""
    m, d, h, w, c = boxes.shape
    bd, bh, bw = (2**level for level in levels)
    return boxes.view(m, d // bd, bd, h // bh, bh, w // bw, bw, c)


def join_blocks(blocks: Tensor) -> Tensor:
    """Inverse of `split_blocks`."""
    m, td, bd, th, bh, tw, bw, c = blocks.shape
    return blocks.view(m, td * bd, th * bh, tw * bw, c)


def block_mean(blocks: Tensor) -> Tensor:
    """(M, td, th, tw, C): the deepest Haar approximation over 2^(level/2) for each axis."""
    if torch.compiler.is_compiling():
        return blocks.mean(WITHIN)
    mean: Tensor = _BlockMean.apply(blocks)  # type: ignore[no-untyped-call]
    return mean


def add_to_blocks_(blocks: Tensor, *, tokens: Tensor) -> Tensor:
    """Add `tokens` (M, td, th, tw, C) to every site of their blocks, in place of `blocks`.

    With `tokens = new - block_mean(blocks)` it is the inverse transform of `new` and the untouched
    details of `blocks`.
    """
    if torch.compiler.is_compiling():  # which chooses the memory itself
        return blocks + spread(tokens)
    added: Tensor = _AddToBlocks.apply(blocks, tokens)  # type: ignore[no-untyped-call]
    return added


# Written out because a mean and a broadcast sum would each write, for their gradient, a tensor of
# the size of the volume, and because PyTorch sums over three axes apart at a fifth of the speed.
# A compiler does better with plain sums, and cannot follow a Function that changes its input.


class _BlockMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blocks: Tensor) -> Tensor:
        ctx.shape = blocks.shape
        if blocks.shape[1] == blocks.shape[3] == blocks.shape[5] == 1:
            return blocks.mean(WITHIN)  # one run of memory
        return blocks.mean(2).mean(3).mean(4)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        sites = ctx.shape[2] * ctx.shape[4] * ctx.shape[6]
        return spread(grad / sites).expand(ctx.shape)


class _AddToBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blocks: Tensor, tokens: Tensor) -> Tensor:
        ctx.mark_dirty(blocks)
        ctx.dtype = tokens.dtype
        return blocks.add_(spread(tokens))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        if grad.shape[1] == grad.shape[3] == grad.shape[5] == 1:
            tokens = grad.sum(WITHIN)
        else:
            tokens = grad.sum(2).sum(3).sum(4)
        return grad, tokens.to(ctx.dtype)


def spread(tokens: Tensor) -> Tensor:
    """(M, td, th, tw, C) with axes of length 1 for the sites of a block."""
    return tokens[:, :, None, :, None, :, None]
