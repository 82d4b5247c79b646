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

On CUDA the fused kernels are taken where they work and compute the operation: a step of ResEnc-L
at 160³ took 0.92 of that with halo boxes (H200, bf16, a CUDA graph); `ssl3d tune` is worth its
minute there. All else takes halo boxes: how many pairs
there are is in the draw, which a step does not ask a device for, and the transforms of minimal
filtering need single precision.

What `ssl3d tune` measured on a machine takes the place of this table, for convolutions without
groups. Ways differ by rounding alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, product, quotient
from ssl3d_plugins.sparse_cells import winograd
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, PAIRS, WINOGRAD, Way
from ssl3d_plugins.sparse_cells.fused import conv as fused
from ssl3d_plugins.sparse_cells.trial import trouble
from ssl3d_plugins.sparse_cells.ways_table import Shape, WaysTable

MANY = 64
"""Channels from which fewer products outweigh their transforms."""

FEW_SITES = 16
"""Up to so many sites of a cell on the coarse side, pairs are faster."""

FEW_SITES_WIDE = 64
"""The same for `WIDE` channels and more."""

WIDE = 128
"""Channels in a group from which matrix products outweigh reading and writing the sites."""


def choose(op: Operation, *, features: Tensor, table: WaysTable | None = None) -> Way:
    """The way for `op` on features (N, e…, C): by a measured table where there is one."""
    ways = possible(op, features=features)
    if len(ways) == 1:
        return HALO
    if table is not None and op.groups == 1:
        by_name = {way.name: way for way in ways}
        name = table.fastest(shape_of(op, features=features), among=by_name)
        if name:
            return by_name[name]
    return FUSED if FUSED in ways else _on_a_cpu(op, ways=ways, features=features)


def possible(op: Operation, *, features: Tensor) -> tuple[Way, ...]:
    """The ways that compute `op` on features (N, e…, C), halo boxes first."""
    edge, dtype, device = edge_of(features), features.dtype, features.device
    if device.type == "cpu":
        minimal = winograd.fits(op, edge=edge) and _exact(dtype)
        return (HALO, PAIRS, WINOGRAD) if minimal else (HALO, PAIRS)
    if device.type == "cuda" and fused.fits(op, edge=edge, dtype=dtype) and not trouble(device):
        return (HALO, FUSED)
    return (HALO,)


def shape_of(op: Operation, *, features: Tensor) -> Shape:
    """What a table of measured times knows a convolution by."""
    sites = product(_coarse(op, edge=edge_of(features)))
    strided = op.stride != (1, 1, 1)
    return Shape(sites, min(op.channels) // op.groups, strided, not _exact(features.dtype))


def edge_of(features: Tensor) -> Triple:
    """Sites per cell edge of features (N, e…, C)."""
    _, z, y, x, _ = features.shape
    return (z, y, x)


def _on_a_cpu(op: Operation, *, ways: tuple[Way, ...], features: Tensor) -> Way:
    channels = min(op.channels) // op.groups
    if WINOGRAD in ways and channels >= MANY:
        return WINOGRAD
    sites = product(_coarse(op, edge=edge_of(features)))
    few = sites <= (FEW_SITES_WIDE if channels >= WIDE else FEW_SITES)
    return PAIRS if few else HALO


def _coarse(op: Operation, *, edge: Triple) -> Triple:
    """Sites per cell edge on the coarse side."""
    return quotient(edge, op.stride) if op.kind == "conv3d" else edge


def _exact(dtype: torch.dtype) -> bool:
    """Low precision cannot hold the transforms of minimal filtering."""
    return dtype in (torch.float32, torch.float64)
