"""Which way of convolving across cells is faster, from measurement.

Forward and backward, float32, one CPU thread with AVX-512, batch 2 of 6³ cells, 60 and 75 % hidden,
as a share of the dense time at 75 % (`benchmarks/sparse_conv.py` measures the stages of a network):

    sites of the coarse side of a cell · channels      halo    pairs
    512 (8³) · 32, 64, 128                             0.28    1.3, 0.7, 0.4
     64 (4³) · 64                                      0.38    0.79
     64 (4³) · 128, 256                                0.37, 0.46    0.36, 0.25
     32 (2 × 4 × 4) · 64, 128                          0.46, 0.42    0.57, 0.32
     16 (1 × 4 × 4) · 64, 128                          0.54, 0.52    0.50, 0.25
      8 (2³) · 64, 256                                 0.80, 1.4     0.57, 0.24
      1 · 256                                          2.7     0.3

A halo box holds many more sites than a small cell, most of them hidden; pairs skip those, but read
and write each site once for each place in the kernel, which wide channels pay back.
"""

from __future__ import annotations

from ssl3d.geometry import Operation, Triple, product, quotient

FEW_SITES = 16
"""Up to so many sites of a cell on the coarse side, pairs are faster."""

FEW_SITES_WIDE = 64
"""The same for `WIDE` channels and more."""

WIDE = 128
"""Channels in a group from which matrix products outweigh reading and writing the sites."""


def prefers_pairs(op: Operation, *, edge: Triple) -> bool:
    """True where pairs of sites beat boxes with a halo; `edge` is sites per cell of the input."""
    coarse = quotient(edge, op.stride) if op.kind == "conv3d" else edge
    wide = min(op.channels) // op.groups >= WIDE
    return product(coarse) <= (FEW_SITES_WIDE if wide else FEW_SITES)
