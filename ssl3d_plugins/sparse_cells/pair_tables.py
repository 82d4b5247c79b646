"""Which sites meet at which place of a kernel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Footprint, Triple, product
from ssl3d.sparse import CellGrid
from ssl3d.sparse.tables import kernel_rows

MOST_PAIRS = 1 << 14
"""Pairs of a group of places: bounds the memory of its products (16 MiB at 256 float32 channels).

One place may have more by itself: as many as there are coarse sites.
"""


class Sums(NamedTuple):
    """For each site the pairs that it sums, as `embedding_bag` takes them: one after another."""

    entries: Tensor
    starts: Tensor


class PairGroup(NamedTuple):
    """The p pairs at some places of the kernel, place by place.

    A convolution goes from fine to coarse sites, a transposed one back.

    Attributes:
        places: index into the flattened kernel, and which pairs are its.
        fine: (p,) row of each pair's fine site.
        coarse: (p,) row of its coarse site.
        to_fine: which pairs each fine site sums.
        to_coarse: which pairs each coarse site sums.
    """

    places: tuple[tuple[int, slice], ...]
    fine: Tensor
    coarse: Tensor
    to_fine: Sums
    to_coarse: Sums


def pair_groups(cells: CellGrid, *, edge: Triple, op: Footprint) -> tuple[PairGroup, ...]:
    """All pairs of visible sites of `op`; `edge` is sites per cell on the fine side."""
    seen = kernel_rows(cells, edge=edge, op=op)
    fine_sites = cells.n * product(edge)
    visible = seen < fine_sites
    groups = []
    for places in _groups(visible.sum(1).tolist()):
        first, end = places[0][0], places[-1][0] + 1
        _, coarse = visible[first:end].nonzero(as_tuple=True)
        fine = seen[first:end][visible[first:end]]
        groups.append(
            PairGroup(
                places,
                fine,
                coarse,
                _sums(fine, sites=fine_sites),
                _sums(coarse, sites=seen.shape[1]),
            )
        )
    return tuple(groups)


def _groups(counts: list[int]) -> list[tuple[tuple[int, slice], ...]]:
    """Neighbouring places of the kernel with at most `MOST_PAIRS` together, none without any."""
    groups: list[list[tuple[int, slice]]] = []
    for place, count in enumerate(counts):
        start = groups[-1][-1][1].stop if groups else 0
        if count == 0:
            continue
        if not groups or start + count > MOST_PAIRS:
            groups.append([(place, slice(0, count))])
        else:
            groups[-1].append((place, slice(start, start + count)))
    return [tuple(group) for group in groups]


def _sums(rows: Tensor, *, sites: int) -> Sums:
    each = torch.bincount(rows, minlength=sites)
    return Sums(rows.argsort(stable=True), each.cumsum(0) - each)
