"""A prototype: 3³ convolution on visible cells as one Triton kernel, and its gradients.

Implicit GEMM over visible sites. Each program reads its operand straight from the cells: where a
neighbour lies follows from the grid's (N, 27) table of neighbouring cells, so no halo box, no table
by stage and no shape that depends on which cells are hidden exists (only N does, which a fixed
ratio fixes). The input gradient is the same kernel with the mirrored weight; the weight gradient
splits its sums and uses no atomics, so it repeats bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


class Blocks(NamedTuple):
    """How a kernel is cut: sites, output channels and input channels of a program."""

    m: int
    n: int
    k: int
    warps: int
    stages: int


@triton.jit
def _row(m, tap, NB, N, E: tl.constexpr):
    """Row of the site that output m sees at a place of the kernel, and whether it is visible."""
    dz, dy, dx = tap // 9 - 1, (tap // 3) % 3 - 1, tap % 3 - 1
    cell = m // (E * E * E)
    r = m % (E * E * E)
    z, y, x = r // (E * E) + dz, (r // E) % E + dy, r % E + dx
    cz = tl.where(z < 0, 0, tl.where(z >= E, 2, 1))
    cy = tl.where(y < 0, 0, tl.where(y >= E, 2, 1))
    cx = tl.where(x < 0, 0, tl.where(x >= E, 2, 1))
    other = tl.load(NB + cell * 27 + cz * 9 + cy * 3 + cx, mask=cell < N, other=N)
    site = (((z + E) % E) * E + (y + E) % E) * E + (x + E) % E
    return other * (E * E * E) + site, other < N


@triton.jit
def conv_kernel(
    X,
    W,
    Y,
    NB,
    N,
    M,
    C: tl.constexpr,
    O: tl.constexpr,  # noqa: E741
    E: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """(M, C) sites and taps (27, C, O) to (M, O)."""
    pid = tl.program_id(0)
    blocks: tl.constexpr = (O + BN - 1) // BN
    m = (pid // blocks) * BM + tl.arange(0, BM)
    n = (pid % blocks) * BN + tl.arange(0, BN)
    k = tl.arange(0, BK)
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    per_tap: tl.constexpr = (C + BK - 1) // BK
    for it in range(27 * per_tap):
        tap = it // per_tap
        c = (it % per_tap) * BK + k
        row, seen = _row(m, tap, NB, N, E)
        given = (seen & (m < M))[:, None] & (c < C)[None, :]
        a = tl.load(X + row[:, None].to(tl.int64) * C + c[None, :], mask=given, other=0.0)
        held = (c < C)[:, None] & (n < O)[None, :]
        b = tl.load(W + (tap * C + c)[:, None] * O + n[None, :], mask=held, other=0.0)
        acc = tl.dot(a, b, acc)
    place = Y + m[:, None].to(tl.int64) * O + n[None, :]
    tl.store(place, acc.to(Y.dtype.element_ty), mask=(m < M)[:, None] & (n < O)[None, :])


@triton.jit
def weight_kernel(
    X,
    G,
    D,
    NB,
    N,
    M,
    STEP,
    C: tl.constexpr,
    O: tl.constexpr,  # noqa: E741
    E: tl.constexpr,
    BC: tl.constexpr,
    BO: tl.constexpr,
    BM: tl.constexpr,
):
    """(M, C) sites and a gradient (M, O) to partial sums (parts, 27, C, O)."""
    pid, part = tl.program_id(0), tl.program_id(1)
    oc: tl.constexpr = (O + BO - 1) // BO
    cc: tl.constexpr = (C + BC - 1) // BC
    tap = pid // (oc * cc)
    c = ((pid // oc) % cc) * BC + tl.arange(0, BC)
    o = (pid % oc) * BO + tl.arange(0, BO)
    acc = tl.zeros((BC, BO), dtype=tl.float32)
    for start in range(part * STEP, tl.minimum((part + 1) * STEP, M), BM):
        m = start + tl.arange(0, BM)
        row, seen = _row(m, tap, NB, N, E)
        inside = m < M
        given = (seen & inside)[:, None] & (c < C)[None, :]
        x = tl.load(X + row[:, None].to(tl.int64) * C + c[None, :], mask=given, other=0.0)
        held = inside[:, None] & (o < O)[None, :]
        g = tl.load(G + m[:, None].to(tl.int64) * O + o[None, :], mask=held, other=0.0)
        acc = tl.dot(tl.trans(x), g, acc)
    place = ((part * 27 + tap) * C + c)[:, None].to(tl.int64) * O + o[None, :]
    tl.store(D + place, acc, mask=(c < C)[:, None] & (o < O)[None, :])


def convolve(x: Tensor, taps: Tensor, neighbours: Tensor, *, blocks: Blocks) -> Tensor:
    """(N, e, e, e, C) and taps (27, C, O) to (N, e, e, e, O); neighbours (N, 27) int32."""
    n, e, _, _, c = x.shape
    o, m = taps.shape[2], n * e**3
    y = x.new_empty(n, e, e, e, o)
    bn, bk = at_most(blocks.n, o), at_most(blocks.k, c)
    grid = (triton.cdiv(m, blocks.m) * triton.cdiv(o, bn),)
    shape = {"C": c, "O": o, "E": e, "BM": blocks.m, "BN": bn, "BK": bk}
    launch = {"num_warps": blocks.warps, "num_stages": blocks.stages}
    conv_kernel[grid](x, taps, y, neighbours, n, m, **shape, **launch)
    return y


def weight_gradient(x: Tensor, grad: Tensor, neighbours: Tensor, *, blocks: Blocks) -> Tensor:
    """(27, C, O) in float32."""
    n, e, _, _, c = x.shape
    o, m = grad.shape[-1], n * e**3
    bc, bo = at_most(blocks.n, c), at_most(blocks.k, o)
    tiles = 27 * triton.cdiv(c, bc) * triton.cdiv(o, bo)
    parts = max(1, min(triton.cdiv(m, blocks.m), 1056 // tiles))
    step = triton.cdiv(triton.cdiv(m, parts), blocks.m) * blocks.m
    partial = x.new_empty(parts, 27, c, o, dtype=torch.float32)
    shape = {"C": c, "O": o, "E": e, "BC": bc, "BO": bo, "BM": blocks.m}
    launch = {"num_warps": blocks.warps, "num_stages": blocks.stages}
    weight_kernel[(tiles, parts)](x, grad, partial, neighbours, n, m, step, **shape, **launch)
    return partial.sum(0)


def at_most(block: int, channels: int) -> int:
    """A block that is no wider than the channels, and no narrower than 16."""
    return min(block, max(16, triton.next_power_of_2(channels)))


def taps_of(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I, 3, 3, 3) to (27, I, O), and mirrored (27, O, I) for the input gradient."""
    o, i = weight.shape[:2]
    forward = weight.permute(2, 3, 4, 1, 0).reshape(27, i, o).contiguous()
    back = weight.flip(2, 3, 4).permute(2, 3, 4, 0, 1).reshape(27, o, i).contiguous()
    return forward, back
