"""Options of the default sparse backend."""

from __future__ import annotations

from typing import Literal

from ssl3d.sparse.backend_config import SparseBackendConfig


class Cells(SparseBackendConfig):
    """Dense operations on a batch of small boxes, one for each visible cell. Pure PyTorch.

    Does every operation that has a meaning on hidden cells, on any device that torch has.
    """

    builds = "ssl3d_plugins.sparse_cells.backend:CellsBackend"
    name: Literal["cells"] = "cells"

    def about(self, *, device: str) -> str:
        """By which table it chooses between its ways to convolve there."""
        from ssl3d_plugins.sparse_cells.about import about_ways

        return about_ways(device)
