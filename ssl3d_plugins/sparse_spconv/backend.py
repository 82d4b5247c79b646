"""The `spconv` backend."""

from __future__ import annotations

from typing import Any

import torch
from spconv.core import ConvAlgo
from spconv.pytorch import functional
from torch import Tensor

from ssl3d.geometry import Operation, product, quotient
from ssl3d.precision import as_autocast, at_least_single
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.local import LocalBackend
from ssl3d.sparse.pool import pool
from ssl3d_plugins.sparse_spconv.maps import indice_pairs

MOST_VALUES = 2**27
"""Sites times channels: an overflow of spconv's 32-bit offsets is known from 2.5e8 on."""

MOST_PAIRS = 2**31 - 1
"""Numbers in a kernel map, two for each place in the kernel and each coarse site."""


class SpconvBackend(LocalBackend):
    """Shapes, and the errors raised, are those of `SparseBackend`.

    The maps come from the cells, not from spconv: its own strided maps grow new active sites and
    list them in their own order.
    """

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        """A convolution by the library, or a pool in plain torch."""
        if weight is None:
            return pool(x, op)
        stride = op.result_stride(x.stride)
        edge = quotient(x.cells.cell, stride)
        count = x.cells.n * product(edge)
        counts = (count, x.sites.shape[0])
        _check_size(max(counts) * max(op.channels), pairs=2 * product(op.kernel) * min(counts))
        transposed = op.kind == "conv_transpose3d"
        fine = edge if transposed else x.edge
        table = x.cells.table(indice_pairs, edge=fine, op=op.footprint)
        convolve: Any = functional.indice_inverse_conv if transposed else functional.indice_conv
        # (O, kz, ky, kx, I) from torch's (O, I, ...) or, transposed, (I, O, ...).
        filters = weight.permute((1, 2, 3, 4, 0) if transposed else (0, 2, 3, 4, 1))
        sites, filters = at_least_single(x.sites), at_least_single(filters)
        with torch.autocast(sites.device.type, enabled=False):
            rows = convolve(
                sites.contiguous(),
                filters.contiguous(),
                table.pairs,
                table.numbers,
                count,
                ConvAlgo.Native,
            )
            if bias is not None:
                rows = rows + bias.to(rows.dtype)
        return x.with_features(as_autocast(rows), stride=stride)


def _check_size(values: int, *, pairs: int) -> None:
    for number, most, what in (
        (values, MOST_VALUES, "values (sites x channels)"),
        (pairs, MOST_PAIRS, "numbers in the kernel map (2 x kernel x coarse sites)"),
    ):
        if number > most:
            raise ValueError(
                f"{number} {what} in one convolution: spconv counts with 32 bits and is used up "
                f"to {most} here. Take a smaller batch or patch, or the backend 'cells'"
            )
