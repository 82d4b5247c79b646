"""Options of the reference sparse backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ssl3d.geometry import Operation, undefined
from ssl3d.plugin.config import SparseBackendConfig

if TYPE_CHECKING:
    from ssl3d_plugins.sparse_dense.backend import DenseBackend


class Dense(SparseBackendConfig):
    """Fill hidden sites with zeros, run the dense operation, keep the visible cells.

    The definition that other backends are compared with. It saves no time: use it to check.
    """

    name: Literal["dense"] = "dense"

    def unsupported(self, op: Operation) -> str | None:
        """Only what has no meaning on hidden cells."""
        return undefined(op)

    def build(self) -> DenseBackend:
        """Make the backend."""
        from ssl3d_plugins.sparse_dense.backend import DenseBackend

        return DenseBackend(self)
