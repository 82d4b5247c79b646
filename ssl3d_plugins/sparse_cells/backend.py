"""The `cells` backend."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl3d.geometry import Operation
from ssl3d.plugin.config import ComponentConfig
from ssl3d.precision import as_autocast, no_autocast
from ssl3d.sparse import SparseVolume
from ssl3d.sparse.local import LocalBackend
from ssl3d.sparse.pool import pool
from ssl3d_plugins.sparse_cells.across import convolve
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_cells.ways_file import device_name, read_tables
from ssl3d_plugins.sparse_cells.ways_table import WaysTable


class CellsBackend(LocalBackend):
    """Shapes, and the errors raised, are those of `SparseBackend`.

    Raises:
        ValueError: a table of measured times cannot be read.
    """

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        self._tables = read_tables()  # once: what a run begins with it keeps

    def _table(self, device: torch.device) -> WaysTable | None:
        """The measured times that count for a device; None: the built-in table does."""
        return self._tables.get(device_name(device)) if self._tables else None

    def across(
        self, x: SparseVolume, op: Operation, weight: Tensor | None, bias: Tensor | None
    ) -> SparseVolume:
        """A convolution by the fastest way for this operation and cell, or a pool."""
        if weight is None:
            return pool(x, op)
        features, weight = as_autocast(x.features), as_autocast(weight)
        bias = None if bias is None else as_autocast(bias)
        way = choose(op, features=features, table=self._table(features.device))
        with no_autocast(features):
            y = convolve(features, weight, bias, cells=x.cells, op=op, way=way)
        return x.with_features(y, stride=op.result_stride(x.stride))
