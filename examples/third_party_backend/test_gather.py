"""The contract of a sparse backend."""

from gather_backend import Gather

from ssl3d.testing.sparse_backend import SparseBackendConformance


class TestGather(SparseBackendConformance):
    config = Gather()
