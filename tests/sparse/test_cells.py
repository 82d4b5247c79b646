"""The `cells` backend does what the definition says, in each of its ways to convolve."""

from __future__ import annotations

import pytest
import torch

from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_cells import Cells, backend


class TestCells(SparseBackendConformance):
    """As users run it: the way chosen by measurement, single precision."""

    config = Cells()
    dtype = torch.float32
    tolerance = 1e-4


class TestHaloBoxes(SparseBackendConformance):
    config = Cells()

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "prefers_pairs", lambda _op, **_: False)


class TestSitePairs(SparseBackendConformance):
    config = Cells()

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "prefers_pairs", lambda _op, **_: True)
