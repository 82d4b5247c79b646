"""Kernel maps are built once per grid, whatever layers use them and in whichever direction."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest
import torch

from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.testing.sparse_cases import half_visible
from ssl3d_plugins.sparse_minkowski import Minkowski
from ssl3d_plugins.sparse_spconv import Spconv

ONE, TWO = (1, 1, 1), (2, 2, 2)


def count_calls(patch: pytest.MonkeyPatch, name: str, *modules: Any) -> Counter[Hashable]:
    """How often a function is called, by its arguments, from whichever module."""
    calls: Counter[Hashable] = Counter()
    function = getattr(modules[0], name)

    def counted(cells: CellGrid, **options: Any) -> Any:
        calls[(id(cells), *options.values())] += 1
        return function(cells, **options)

    for module in modules:
        patch.setattr(module, name, counted)
    return calls


def two_passes(config: SparseBackendConfig, cells: CellGrid) -> None:
    """Forward and backward of conv, conv, strided and transposed, on new features each time."""
    backend = config.build()
    weights = [torch.ones(size, size, 3, 3, 3, requires_grad=True) for size in (2, 2, 2, 2)]
    for _ in range(2):
        x = SparseVolume(torch.ones(cells.n, *cells.cell, 2), cells, ONE, backend)
        x = backend.conv3d(x, weights[0], padding=ONE)
        x = backend.conv3d(x, weights[1], padding=ONE)
        x = backend.conv3d(x, weights[2], stride=TWO, padding=ONE)
        x = backend.conv_transpose3d(x, weights[3], stride=TWO, padding=ONE)
        torch.autograd.backward(x.features.sum())


def test_spconv(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spconv", reason='needs: pip install "ssl3d[spconv-cu126]"')
    backend = importlib.import_module("ssl3d_plugins.sparse_spconv.backend")
    built = count_calls(monkeypatch, "indice_pairs", backend)
    two_passes(Spconv(), CellGrid(half_visible(), cell=(4, 4, 4)))
    assert sorted(built.values()) == [1, 1], "one for stride 1, one for stride 2 both ways"


def test_minkowski(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("MinkowskiEngine", reason="needs: ssl3d install minkowski")
    backend = importlib.import_module("ssl3d_plugins.sparse_minkowski.backend")
    maps = importlib.import_module("ssl3d_plugins.sparse_minkowski.maps")
    built = count_calls(monkeypatch, "kernel_map", backend, maps)
    entered = count_calls(monkeypatch, "sites_of", backend, maps)
    managers = count_calls(monkeypatch, "manager_of", backend, maps)
    cells = CellGrid(half_visible(), cell=(4, 4, 4))
    two_passes(Minkowski(), cells)
    assert sorted(built.values()) == [1, 1], "one for stride 1, one for stride 2 both ways"
    assert sorted(entered.values()) == [1, 1], "one for each stage"
    assert list(managers.values()) == [1]
    # The library found ours: it added none but the second turned round.
    assert str(cells.table(maps.manager_of)).count("->") == 3
