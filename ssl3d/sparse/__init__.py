"""The data structure: cells of a volume, the visible ones among them, and what computes on them.

Importing this package loads no torch: names are looked up on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl3d.sparse.cells import CellGrid
    from ssl3d.sparse.check import check_volume
    from ssl3d.sparse.hidden import HiddenLevels
    from ssl3d.sparse.split import grid_of, join_cells, split_cells
    from ssl3d.sparse.volume import FeatureMap, SparseBackend, SparseVolume

_HOME = {
    "CellGrid": "cells",
    "FeatureMap": "volume",
    "HiddenLevels": "hidden",
    "SparseBackend": "volume",
    "SparseVolume": "volume",
    "check_volume": "check",
    "grid_of": "split",
    "join_cells": "split",
    "split_cells": "split",
}

__all__ = [
    "CellGrid",
    "FeatureMap",
    "HiddenLevels",
    "SparseBackend",
    "SparseVolume",
    "check_volume",
    "grid_of",
    "join_cells",
    "split_cells",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ssl3d.sparse' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ssl3d.sparse.{_HOME[name]}"), name)
