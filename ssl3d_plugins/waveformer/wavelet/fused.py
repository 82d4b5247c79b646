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
    return blocks.mean(WITHIN)


def replace_mean(blocks: Tensor, *, mean: Tensor, new: Tensor) -> Tensor:
    """The inverse transform with `new` in place of `mean` and the details of `blocks`."""
    return blocks + spread(new - mean)


def spread(tokens: Tensor) -> Tensor:
    """(M, td, th, tw, C) with axes of length 1 for the sites of a block."""
    return tokens[:, :, None, :, None, :, None]
