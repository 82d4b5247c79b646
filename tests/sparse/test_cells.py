"""The `cells` backend does what the definition says."""

from __future__ import annotations

import torch

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_cells import Cells


class TestCells(SparseBackendConformance):
    config = Cells()


class TestCellsInSinglePrecision(SparseBackendConformance):
    config = Cells()
    dtype = torch.float32
    tolerance = 1e-4
