"""The tokens of a feature map: which sample each is of, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, times
from ssl3d.sparse import FeatureMap, SparseVolume


@dataclass(frozen=True, eq=False)
class Tokens:
    """T tokens, sorted by sample.

    Attributes:
        counts: tokens of each sample, numbers of the host.
        samples: (T,) long, of which sample each is.
        places: (T, 3) long, where it stands in the grid (z, y, x).
        grid: tokens of a whole volume per axis.
    """

    counts: tuple[int, ...]
    samples: Tensor
    places: Tensor
    grid: Triple

    @classmethod
    def of(cls, x: FeatureMap) -> Tokens:
        """One for each site of a dense map, or of the visible cells of a sparse one."""
        if isinstance(x, SparseVolume):
            where = x.coordinates.long()
            return cls(x.site_counts, where[:, 0], where[:, 1:], times(x.cells.grid, x.edge))
        grid = (x.shape[2], x.shape[3], x.shape[4])
        axes = (torch.arange(edge, device=x.device) for edge in (x.shape[0], *grid))
        where = torch.cartesian_prod(*axes)
        return cls((product(grid),) * x.shape[0], where[:, 0], where[:, 1:], grid)

    @property
    def rows(self) -> Tensor:
        """(T,) long: the place of each token in a table of the whole grid, in raster order."""
        z, y, x = self.places.unbind(1)
        return (z * self.grid[1] + y) * self.grid[2] + x


def rows_of(x: FeatureMap) -> Tensor:
    """(T, C): the features of the tokens of a map."""
    return x.sites if isinstance(x, SparseVolume) else x.flatten(2).transpose(1, 2).flatten(0, 1)


def like(x: FeatureMap, rows: Tensor) -> FeatureMap:
    """Rows (T, C) as a map of the kind, and of the sites, of `x`."""
    if isinstance(x, SparseVolume):
        return x.with_features(rows)
    return rows.view(x.shape[0], *x.shape[2:], -1).movedim(-1, 1)
