"""The kernels of the fused convolution: products of gathered sites, nothing written in between.

A program reads its sites straight from the cells. Where the neighbour of a site lies follows from
the (N, 27) table of neighbouring cells, so there is no halo box, no table for each stage and no
shape that depends on which cells are hidden.

Sizes: N cells; per axis I sites of a cell on the side that is read, Q coarse sites of a cell,
kernel K, stride S, padding P. The only module that imports Triton.
"""

# mypy: ignore-errors
# ruff: noqa: E741
# Triton's language has no types, and O is as in torch's layout of weights.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _place(q, j, r, S: tl.constexpr, P: tl.constexpr, UP: tl.constexpr):
    """Site that is read at coarse site q, on one axis: j counts places, r is as in `gather`."""
    return q + (r + P) // S - j if UP else q * S - P + j


@triton.jit
def _cell(i, I: tl.constexpr):
    """0, 1 or 2 where a site lies in the cell before, in its own, or in the cell after."""
    return tl.where(i < 0, 0, tl.where(i >= I, 2, 1))


@triton.jit
def _row(
    m, jz, jy, jx, rz, ry, rx, NB, N,
    IZ: tl.constexpr, IY: tl.constexpr, IX: tl.constexpr,
    QZ: tl.constexpr, QY: tl.constexpr, QX: tl.constexpr,
    SZ: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    PZ: tl.constexpr, PY: tl.constexpr, PX: tl.constexpr,
    UP: tl.constexpr,
):  # fmt: skip
    """Row of the site that is read at coarse site m, and whether it is visible."""
    cell = m // (QZ * QY * QX)
    z = _place((m // (QY * QX)) % QZ, jz, rz, SZ, PZ, UP)
    y = _place((m // QX) % QY, jy, ry, SY, PY, UP)
    x = _place(m % QX, jx, rx, SX, PX, UP)
    cz, cy, cx = _cell(z, IZ), _cell(y, IY), _cell(x, IX)
    other = tl.load(NB + cell * 27 + cz * 9 + cy * 3 + cx, mask=cell < N, other=N).to(tl.int32)
    site = ((z - (cz - 1) * IZ) * IY + y - (cy - 1) * IY) * IX + x - (cx - 1) * IX
    return other * (IZ * IY * IX) + site, other < N


@triton.jit(do_not_specialize=["N", "M"])
def gather(
    X, W, B, Y, NB, N, M,
    C: tl.constexpr, O: tl.constexpr, WC: tl.constexpr, WT: tl.constexpr, WO: tl.constexpr,
    IZ: tl.constexpr, IY: tl.constexpr, IX: tl.constexpr,
    QZ: tl.constexpr, QY: tl.constexpr, QX: tl.constexpr,
    KZ: tl.constexpr, KY: tl.constexpr, KX: tl.constexpr,
    SZ: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    PZ: tl.constexpr, PY: tl.constexpr, PX: tl.constexpr,
    UP: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr, SINGLE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Sites X (rows, C), a weight W and a bias B (O,) to Y (rows, O); M coarse sites.

    W holds channel c, place t of the kernel and output o at c·WC + t·WT + o·WO. Down: a program
    computes coarse sites. Up: fine sites with the same remainder r by the stride, which see the
    same places of the kernel, j·S + (r + P) % S; the second axis of the launch counts remainders.
    Few channels (C < 16) are multiplied for several places of the kernel at once.
    """
    pid, remainder = tl.program_id(0), tl.program_id(1)
    blocks: tl.constexpr = (O + BN - 1) // BN
    m = (pid // blocks) * BM + tl.arange(0, BM)
    n = (pid % blocks) * BN + tl.arange(0, BN)
    rz, ry, rx = remainder // (SY * SX), (remainder // SX) % SY, remainder % SX
    tz, ty, tx = 0, 0, 0
    nz, ny, nx = KZ, KY, KX
    if UP:
        tz, ty, tx = (rz + PZ) % SZ, (ry + PY) % SY, (rx + PX) % SX
        nz, ny, nx = (KZ - tz + SZ - 1) // SZ, (KY - ty + SY - 1) // SY, (KX - tx + SX - 1) // SX
    step: tl.constexpr = SZ if UP else 1
    step_y: tl.constexpr = SY if UP else 1
    step_x: tl.constexpr = SX if UP else 1
    acc = tl.full((BM, BN), 0.0, tl.float32)
    few: tl.constexpr = C < 16
    per_place: tl.constexpr = (C + BK - 1) // BK
    places = nz * ny * nx
    turns = (places * C + BK - 1) // BK if few else places * per_place
    for turn in range(turns):
        if few:
            k = turn * BK + tl.arange(0, BK)
            place, c, held = k // C, k % C, k < places * C
            jz, jy, jx = place // (ny * nx), (place // nx) % ny, place % nx
            row, seen = _row(
                m[:, None], jz[None, :], jy[None, :], jx[None, :], rz, ry, rx, NB, N,
                IZ, IY, IX, QZ, QY, QX, SZ, SY, SX, PZ, PY, PX, UP,
            )  # fmt: skip
            tap = ((tz + jz * step) * KY + ty + jy * step_y) * KX + tx + jx * step_x
            kernel = (tap * WT + c * WC)[:, None]
        else:
            place = turn // per_place
            c = (turn % per_place) * BK + tl.arange(0, BK)
            held = c < C
            jz, jy, jx = place // (ny * nx), (place // nx) % ny, place % nx
            row, seen = _row(
                m, jz, jy, jx, rz, ry, rx, NB, N,
                IZ, IY, IX, QZ, QY, QX, SZ, SY, SX, PZ, PY, PX, UP,
            )  # fmt: skip
            row, seen = row[:, None], seen[:, None]
            tap = ((tz + jz * step) * KY + ty + jy * step_y) * KX + tx + jx * step_x
            kernel = tap * WT + (c * WC)[:, None]
        given = seen & (m < M)[:, None] & held[None, :]
        a = tl.load(X + row.to(tl.int64) * C + c[None, :], mask=given, other=0.0)
        b = tl.load(W + kernel + n[None, :] * WO, mask=held[:, None] & (n < O)[None, :], other=0.0)
        if SINGLE:
            a, b = a.to(tl.float32), b.to(tl.float32)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    if BIAS:
        acc += tl.load(B + n, mask=n < O, other=0.0).to(tl.float32)[None, :]
    to = m
    if UP:
        cell = m // (QZ * QY * QX)
        z, y, x = (m // (QY * QX)) % QZ * SZ + rz, (m // QX) % QY * SY + ry, m % QX * SX + rx
        to = ((cell * (QZ * SZ) + z) * (QY * SY) + y) * (QX * SX) + x
    where = Y + to[:, None].to(tl.int64) * O + n[None, :]
    tl.store(where, acc.to(Y.dtype.element_ty), mask=(m < M)[:, None] & (n < O)[None, :])


@triton.jit(do_not_specialize=["N", "M", "SITES"])
def correlate(
    X, G, D, NB, N, M, SITES,
    C: tl.constexpr, O: tl.constexpr,
    IZ: tl.constexpr, IY: tl.constexpr, IX: tl.constexpr,
    QZ: tl.constexpr, QY: tl.constexpr, QX: tl.constexpr,
    KZ: tl.constexpr, KY: tl.constexpr, KX: tl.constexpr,
    SZ: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    PZ: tl.constexpr, PY: tl.constexpr, PX: tl.constexpr,
    PRECISION: tl.constexpr, SINGLE: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Fine sites X (rows, C) and coarse ones G (M, O) to sums D (parts, O, places, C).

    A program sums SITES coarse sites, a multiple of BM; parts are added up afterwards, in order.
    """
    pid, part = tl.program_id(0), tl.program_id(1)
    few: tl.constexpr = C < 16
    places: tl.constexpr = KZ * KY * KX
    wide: tl.constexpr = places * C if few else C  # columns that blocks are cut from
    per_place: tl.constexpr = (wide + BK - 1) // BK
    blocks: tl.constexpr = (O + BN - 1) // BN
    k = (pid // blocks) % per_place * BK + tl.arange(0, BK)
    n = (pid % blocks) * BN + tl.arange(0, BN)
    held = k < wide
    if few:
        place, c = k // C, k % C
        column = k
    else:
        place, c = pid // (blocks * per_place), k
        column = place * C + k
    jz, jy, jx = place // (KY * KX), (place // KX) % KY, place % KX
    acc = tl.full((BN, BK), 0.0, tl.float32)
    for start in range(part * SITES, tl.minimum((part + 1) * SITES, M), BM):
        m = start + tl.arange(0, BM)
        if few:
            row, seen = _row(
                m[:, None], jz[None, :], jy[None, :], jx[None, :], 0, 0, 0, NB, N,
                IZ, IY, IX, QZ, QY, QX, SZ, SY, SX, PZ, PY, PX, False,
            )  # fmt: skip
        else:
            row, seen = _row(
                m, jz, jy, jx, 0, 0, 0, NB, N,
                IZ, IY, IX, QZ, QY, QX, SZ, SY, SX, PZ, PY, PX, False,
            )  # fmt: skip
            row, seen = row[:, None], seen[:, None]
        inside = m < M
        given = seen & inside[:, None] & held[None, :]
        x = tl.load(X + row.to(tl.int64) * C + c[None, :], mask=given, other=0.0)
        there = inside[:, None] & (n < O)[None, :]
        g = tl.load(G + m[:, None].to(tl.int64) * O + n[None, :], mask=there, other=0.0)
        if SINGLE:
            x, g = x.to(tl.float32), g.to(tl.float32)
        acc = tl.dot(tl.trans(g), x, acc, input_precision=PRECISION)
    rows = (part * O + n).to(tl.int64)[:, None] * (places * C)
    tl.store(D + rows + column[None, :], acc, mask=(n < O)[:, None] & held[None, :])
