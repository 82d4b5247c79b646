"""The `dense` backend is the definition, so it is compared with torch on naive volumes."""

from __future__ import annotations

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_dense import Dense


class TestDense(SparseBackendConformance):
    config = Dense()
