"""The data structure: cells of a volume and the visible ones among them."""

from ssl3d.volume.cells import CellGrid, grid_of, join_cells, split_cells
from ssl3d.volume.hidden import HiddenLevels
from ssl3d.volume.sparse import FeatureMap, SparseVolume

__all__ = [
    "CellGrid",
    "FeatureMap",
    "HiddenLevels",
    "SparseVolume",
    "grid_of",
    "join_cells",
    "split_cells",
]
