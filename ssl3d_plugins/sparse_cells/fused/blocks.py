"""How the kernels are cut into programs. From reasoning, not from measurement."""

from __future__ import annotations

from typing import NamedTuple

PROGRAMS = 1024
"""Programs that a launch is cut into where it can be: some for each processor of a large GPU."""


class Blocks(NamedTuple):
    """What one program of a kernel computes.

    Attributes:
        m: sites.
        n: output channels.
        k: channels that are multiplied at once; of a gradient of weights, input channels.
        warps: of 32 threads.
        stages: of loads that run ahead of products.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int


def gather_blocks(*, sites: int, columns: int, outputs: int, exact: bool) -> Blocks:
    """For a launch over `sites`.

    Args:
        sites: that are computed.
        columns: channels of a site, or of all places of the kernel where they go together.
        outputs: channels of the result.
        exact: products in single precision run on ordinary cores, with smaller blocks.
    """
    n = between(outputs, 16, 64 if exact else 128)
    m = 64 if exact else 128
    while m > 16 and ceil(sites, m) * ceil(outputs, n) < PROGRAMS // 8:
        m //= 2
    k = between(columns, 16, 16 if exact else 64)
    return Blocks(m, n, k, warps=8 if m * n >= 128 * 128 else 4, stages=2 if exact else 3)


def correlate_blocks(*, columns: int, outputs: int, exact: bool) -> Blocks:
    """For a gradient of weights of `outputs` by `columns` channels."""
    widest = 32 if exact else 64
    n, k = between(outputs, 16, widest), between(columns, 16, widest)
    return Blocks(32 if exact else 64, n, k, warps=4, stages=2 if exact else 3)


def parts_of(sites: int, *, tiles: int, block: int) -> int:
    """How many parts the sum over `sites` is taken in: one after another where there are tiles."""
    return max(min(ceil(sites, block), PROGRAMS // tiles), 1)


def between(size: int, low: int, high: int) -> int:
    """The smallest power of two that holds `size`, within bounds that are such powers too."""
    return min(max(1 << (size - 1).bit_length(), low), high)


def ceil(count: int, block: int) -> int:
    """How many blocks hold so many."""
    return -(-count // block)
