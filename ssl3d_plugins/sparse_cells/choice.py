"""Which way of convolving across cells is the fastest, from measurement.

Forward and backward, float32, two CPU cores with AVX-512, batch 2 of 6³ cells, 75 % hidden, as a
share of the dense time (`benchmarks/sparse_conv.py` measures the stages of a network):

    sites of a cell · channels        halo                pairs               Winograd
    8³ · 32, 64, 128                  0.31, 0.31, 0.32    1.2, 0.68, 0.62     0.32, 0.20, 0.22
    4³ · 32, 64, 128                  0.53, 0.41, 0.38    0.84, 0.61, 0.38    0.43, 0.26, 0.19
    2 × 4 × 4 · 64, 128               0.43, 0.44          0.66, 0.32
    1 × 4 × 4 · 64, 128               0.56, 0.45          0.43, 0.23
    2³ · 32, 64, 128, 256             1.1, 0.78, 0.79, 0.78    0.96, 0.56, 0.29, 0.20
    1 · 64, 256                       1.7, 2.0            1.3, 0.31
    8³ to 4³ · 32, 64, 128            0.47, 0.40, 0.54    0.84, 0.54, 0.41
    4³ to 2³ · 32, 64, 128            2.0, 0.76, 0.83     0.46, 0.44, 0.27

A halo box holds many more sites than a small cell, most of them hidden; pairs skip those, but read
and write each site once for each place in the kernel, which wide channels pay back. At 60 % hidden
4³ · 32 is as fast with halo boxes.

Other devices take halo boxes: how many pairs there are is in the draw, which a step does not ask a
device for, and the transforms of minimal filtering need single precision.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, product, quotient
from ssl3d_plugins.sparse_cells import winograd
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS, WINOGRAD, Way

MANY = 64
"""Channels from which fewer products outweigh their transforms."""

FEW_SITES = 16
"""Up to so many sites of a cell on the coarse side, pairs are faster."""

FEW_SITES_WIDE = 64
"""The same for `WIDE` channels and more."""

WIDE = 128
"""Channels in a group from which matrix products outweigh reading and writing the sites."""


def choose(op: Operation, *, features: Tensor) -> Way:
    """The way for `op` on features (N, e…, C)."""
    if features.device.type != "cpu":
        return HALO
    _, ez, ey, ex, _ = features.shape
    edge: Triple = (ez, ey, ex)
    channels = min(op.channels) // op.groups
    if winograd.fits(op, edge=edge) and channels >= MANY and _exact(features):
        return WINOGRAD
    coarse = quotient(edge, op.stride) if op.kind == "conv3d" else edge
    few = product(coarse) <= (FEW_SITES_WIDE if channels >= WIDE else FEW_SITES)
    return PAIRS if few else HALO


def _exact(features: Tensor) -> bool:
    """Low precision cannot hold the transforms."""
    return features.dtype in (torch.float32, torch.float64)
