"""The data structure: cells of a volume and the visible ones among them."""

from ssl3d.sparse.cells import CellGrid, grid_of, join_cells, split_cells
from ssl3d.sparse.check import check_volume
from ssl3d.sparse.hidden import HiddenLevels
from ssl3d.sparse.volume import FeatureMap, SparseBackend, SparseVolume

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
