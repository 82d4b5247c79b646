"""Options of the default sparse backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ssl3d.geometry import Operation, undefined
from ssl3d.plugin.config import SparseBackendConfig

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_cells.backend import CellsBackend


class Cells(SparseBackendConfig):
    """Dense operations on a batch of small boxes, one for each visible cell. Pure PyTorch.

    Does every operation that has a meaning on hidden cells, on any device that torch has.
    """

    name: Literal["cells"] = "cells"

    def unsupported(self, op: Operation) -> str | None:
        """Only what has no meaning on hidden cells."""
        return undefined(op)

    def build(self) -> CellsBackend:
        """Make the backend."""
        from ssl3d_plugins.sparse_cells.backend import CellsBackend

        return CellsBackend(self)
