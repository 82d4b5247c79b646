"""Options of the reference sparse backend."""

from __future__ import annotations

from typing import Literal

from ssl3d.sparse.backend_config import SparseBackendConfig


class Dense(SparseBackendConfig):
    """Fill hidden sites with zeros, run the dense operation, keep the visible cells.

    The definition that other backends are compared with. It saves no time: use it to check.
    """

    builds = "ssl3d_plugins.sparse_dense.backend:DenseBackend"
    name: Literal["dense"] = "dense"
