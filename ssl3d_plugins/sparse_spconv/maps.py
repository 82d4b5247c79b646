"""spconv's kernel maps, made from the cells; `CellGrid.table` keeps them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Footprint, Triple, product
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import kernel_rows


class IndicePairs(NamedTuple):
    """spconv's kernel map.

    `pairs` is (2, K, M) int32: for each place in the kernel the fine and the coarse rows that
    meet, -1 past their number, which is `numbers` (K,) int32.
    """

    pairs: Tensor
    numbers: Tensor


def indice_pairs(cells: CellGrid, *, edge: Triple, op: Footprint) -> IndicePairs:
    """spconv's map of a convolution; `edge` is sites per cell, fine side."""
    seen = kernel_rows(cells, edge=edge, op=op)
    visible = seen < cells.n * product(edge)
    numbers = visible.sum(1)
    place, coarse = visible.nonzero(as_tuple=True)
    slot = (visible.cumsum(1) - 1)[visible]
    longest = max(1, int(numbers.max()))
    pairs = torch.full((2, len(seen), longest), -1, dtype=torch.int32, device=seen.device)
    pairs[0, place, slot] = seen[visible].int()
    pairs[1, place, slot] = coarse.int()
    return IndicePairs(pairs, numbers.int())
