"""Which sites meet at which place of a kernel, grouped so that few large products do the work."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Operation, Triple, product
from ssl3d.volume import CellGrid
from ssl3d_plugins.sparse_cells.tables import box_rows, reach_down

ALIKE = 0.75
"""Places of a group have at least so many pairs for each pair of the fullest; rest is padding."""

MOST_PAIRS = 1 << 14
"""Pairs of a group: bounds the memory of its products (16 MiB at 256 float32 channels)."""


class Sums(NamedTuple):
    """For each site the pairs that it sums, as `embedding_bag` takes them: one after another."""

    entries: Tensor
    starts: Tensor


class PairGroup(NamedTuple):
    """Pairs at k places of the kernel, padded to p pairs each.

    A convolution goes from fine to coarse sites, a transposed one back.

    Attributes:
        places: (k,) indices into the flattened kernel.
        fine: (k·p,) row of each pair's fine site, one past the last for padding.
        coarse: (k·p,) row of its coarse site.
        to_fine: which pairs each fine site sums.
        to_coarse: which pairs each coarse site sums.
    """

    places: Tensor
    fine: Tensor
    coarse: Tensor
    to_fine: Sums
    to_coarse: Sums


def pair_groups(cells: CellGrid, *, edge: Triple, op: Operation) -> tuple[PairGroup, ...]:
    """All pairs of visible sites of `op`; `edge` is sites per cell on the fine side."""
    key = ("pair groups", edge, op.kernel, op.stride, op.padding)
    return cells.table(key, lambda: _pair_groups(cells, edge, op))


def _pair_groups(cells: CellGrid, edge: Triple, op: Operation) -> tuple[PairGroup, ...]:
    rows = box_rows(cells, edge=edge, reach=reach_down(op))
    for axis, (k, s) in enumerate(zip(op.kernel, op.stride, strict=True)):
        rows = rows.unfold(axis + 1, k, s)
    seen = rows.flatten(0, 3).flatten(1).t()  # (places, coarse sites)
    sites = cells.n * product(edge)
    counts = (seen < sites).sum(1).tolist()
    return tuple(
        _group(
            seen[places],
            torch.tensor(places, device=rows.device),
            fine_sites=sites,
            longest=counts[places[0]],
        )
        for places in _alike(counts)
    )


def _alike(counts: list[int]) -> list[list[int]]:
    """Places of the kernel with about as many pairs, fullest first, none without any."""
    groups: list[list[int]] = []
    for place in sorted(range(len(counts)), key=lambda p: -counts[p]):
        if counts[place] == 0:
            break
        longest = counts[groups[-1][0]] if groups else 0
        fits = groups and (len(groups[-1]) + 1) * longest <= MOST_PAIRS
        if fits and counts[place] >= ALIKE * longest:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _group(seen: Tensor, places: Tensor, *, fine_sites: int, longest: int) -> PairGroup:
    visible = seen < fine_sites
    place, site = visible.nonzero(as_tuple=True)
    slots = place * longest + (visible.cumsum(1) - 1)[visible]
    fine = torch.full_like(places, fine_sites).repeat_interleave(longest)
    coarse = torch.full_like(fine, seen.shape[1])
    fine[slots], coarse[slots] = seen[visible], site
    return PairGroup(
        places,
        fine,
        coarse,
        _sums(fine, sites=fine_sites, pairs=slots.numel()),
        _sums(coarse, sites=seen.shape[1], pairs=slots.numel()),
    )


def _sums(rows: Tensor, *, sites: int, pairs: int) -> Sums:
    each = torch.bincount(rows, minlength=sites)[:sites]
    return Sums(rows.argsort(stable=True)[:pairs], each.cumsum(0) - each)
