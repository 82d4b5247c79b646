"""Which tokens of a stage belong to which sample, and where they stand in its volume."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume


@dataclass(frozen=True, eq=False)
class Tokens:
    """Rows of tokens, T in all, sorted by sample.

    Attributes:
        counts: tokens of each sample, (B,).
        coordinates: (T, 3) place of each token in its sample's grid of tokens (z, y, x).
    """

    counts: tuple[int, ...]
    coordinates: Tensor

    @property
    def length(self) -> int:
        """Tokens of the largest sample, at least 1."""
        return max((1, *self.counts))

    @property
    def even(self) -> bool:
        """True when all samples have the same number of tokens, and any."""
        return all(count == self.length for count in self.counts)

    @functools.cached_property
    def slots(self) -> Tensor:
        """(T,) place of each token in the samples padded to one length."""
        counts = torch.tensor(self.counts)
        gaps = torch.arange(len(counts)) * self.length - (counts.cumsum(0) - counts)
        slots = torch.arange(int(counts.sum())) + gaps.repeat_interleave(counts)
        return slots.to(self.coordinates.device)

    @functools.cached_property
    def valid(self) -> Tensor:
        """(B, n) bool: keys that attention may see.

        The first is always one, so that the softmax of a sample without tokens is finite: it sees
        a row of zeros there and its result is dropped.
        """
        counts = torch.tensor(self.counts).clamp(min=1)
        return (torch.arange(self.length) < counts[:, None]).to(self.coordinates.device)

    def pad(self, rows: Tensor) -> Tensor:
        """(T, ...) to (B, n, ...), zeros where a sample has fewer tokens."""
        shape = (len(self.counts), self.length, *rows.shape[1:])
        if self.even:
            return rows.view(shape)
        padded = rows.new_zeros(shape).flatten(0, 1)
        return padded.index_copy(0, self.slots, rows).view(shape)

    def unpad(self, padded: Tensor) -> Tensor:
        """Inverse of `pad`."""
        rows = padded.flatten(0, 1)
        return rows if self.even else rows.index_select(0, self.slots)


def tokens_of(x: FeatureMap, *, block: Triple) -> Tokens:
    """One token for each block of sites of a dense map, or of the visible cells of a sparse one.

    Args:
        x: (B, C, D, H, W), or cells; edges are multiples of `block`.
        block: sites per token, (z, y, x).
    """
    if isinstance(x, SparseVolume):
        return x.cells.table(visible_tokens, stride=times(x.stride, block))
    grid = quotient((x.shape[2], x.shape[3], x.shape[4]), block)
    return dense_tokens(x, grid=grid)


def visible_tokens(cells: CellGrid, *, stride: Triple) -> Tokens:
    """One token for each box of `stride` voxels of the visible cells."""
    each = product(quotient(cells.cell, stride))
    counts = tuple(count * each for count in cells.counts)
    return Tokens(counts, cells.coordinates(stride)[:, 1:])


def dense_tokens(x: Tensor, *, grid: Triple) -> Tokens:
    """The tokens of a whole grid for each sample of `x`."""
    axes = (torch.arange(edge, device=x.device, dtype=torch.int32) for edge in grid)
    coordinates = torch.cartesian_prod(*axes).repeat(x.shape[0], 1)
    return Tokens((product(grid),) * x.shape[0], coordinates)
