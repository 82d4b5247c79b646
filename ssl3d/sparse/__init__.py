"""The data structure: cells of a volume and the visible ones among them."""

from ssl3d.sparse.cells import CellGrid, grid_of, join_cells, split_cells
from ssl3d.sparse.hidden import HiddenLevels
from ssl3d.sparse.volume import FeatureMap, SparseBackend, SparseVolume

__all__ = [
    "CellGrid",
    "FeatureMap",
    "HiddenLevels",
    "SparseBackend",
    "SparseVolume",
    "grid_of",
    "join_cells",
    "split_cells",
]
