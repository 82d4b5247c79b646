"""The `cells` backend does what the definition says, in each of its ways to convolve."""

from __future__ import annotations

import pytest
import torch

from ssl3d.sparse import halo
from ssl3d.testing.sparse_backend import SparseBackendConformance
from ssl3d_plugins.sparse_cells import Cells, backend, pair_tables
from ssl3d_plugins.sparse_cells.across import HALO, PAIRS


class TestCells(SparseBackendConformance):
    """As users run it: the way chosen by measurement, single precision."""

    config = Cells()
    dtype = torch.float32
    tolerance = 1e-4


class TestHaloBoxes(SparseBackendConformance):
    config = Cells()

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "choose", lambda _op, **_: HALO)


class TestHaloBoxesCellByCell(TestHaloBoxes):
    """As large boxes are: some cells at a time."""

    @pytest.fixture(autouse=True)
    def _one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(halo, "CHUNK_VALUES", 1)


class TestSitePairs(SparseBackendConformance):
    config = Cells()

    @pytest.fixture(autouse=True)
    def _always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "choose", lambda _op, **_: PAIRS)


class TestSitePairsPlaceByPlace(TestSitePairs):
    """As many pairs are: some places of the kernel at a time."""

    @pytest.fixture(autouse=True)
    def _one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pair_tables, "MOST_PAIRS", 1)
