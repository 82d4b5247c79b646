"""Which tokens of a stage attend to each other, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from ssl3d.geometry import Triple, product, quotient, times
from ssl3d.sparse import CellGrid, FeatureMap, SparseVolume

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class Tokens:
    """Rows of tokens, T in all, of B samples that are padded to n places each.

    Attributes:
        samples: B; a window counts as one.
        length: n, at least 1.
        coordinates: (T, 3) place of each token in the grid of tokens (z, y, x).
        slots: (T,) which of the B·n places each token has; None where they are T = B·n in order.
        shared: (n, 3) place of each slot where it is alike in all samples, or None.
    """

    samples: int
    length: int
    coordinates: Tensor
    slots: Tensor | None = None
    shared: Tensor | None = None
    _tables: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def by_sample(cls, counts: tuple[int, ...], coordinates: Tensor) -> Tokens:
        """Tokens that are sorted by sample, of which each has `counts`."""
        length = max((1, *counts))
        if all(count == length for count in counts):
            return cls(len(counts), length, coordinates)
        slots = [
            torch.arange(i * length, i * length + count, device=coordinates.device)
            for i, count in enumerate(counts)
        ]
        return cls(len(counts), length, coordinates, torch.cat(slots))

    @property
    def full(self) -> bool:
        """True when no place is left free."""
        return len(self.coordinates) == self.samples * self.length

    @property
    def valid(self) -> Tensor:
        """(B, n) bool: keys that attention may see.

        One at least in each sample, so that the softmax of a sample without tokens is finite: it
        sees a row of zeros there and its result is dropped.
        """
        return self.table(Tokens._valid)

    def _valid(self) -> Tensor:
        valid = self.pad(torch.ones_like(self.coordinates[:, 0], dtype=torch.bool))
        nothing = ~valid.any(1, keepdim=True)
        return torch.cat([valid[:, :1] | nothing, valid[:, 1:]], 1)

    @property
    def places(self) -> Tensor:
        """(B, n, 3) long, or (1, n, 3) where samples are alike: where each slot's token stands."""
        if self.shared is not None:
            return self.shared[None]
        return self.pad(self.coordinates.long())

    def table(
        self, make: Callable[Concatenate[Tokens, P], T], *args: P.args, **options: P.kwargs
    ) -> T:
        """`make(self, …)`, made once and kept here, as `CellGrid.table` does: tokens of visible
        cells are kept on their grid.
        """
        key = (make, args, tuple(sorted(options.items())))
        if key not in self._tables:
            self._tables[key] = make(self, *args, **options)
        found: T = self._tables[key]
        return found

    def pad(self, rows: Tensor) -> Tensor:
        """(T, ...) to (B, n, ...), zeros where there is no token."""
        shape = (self.samples, self.length, *rows.shape[1:])
        if self.slots is None:
            return rows.view(shape)
        padded = rows.new_zeros(self.samples * self.length, *rows.shape[1:])
        return padded.index_copy_(0, self.slots, rows).view(shape)

    def unpad(self, padded: Tensor) -> Tensor:
        """Inverse of `pad`."""
        rows = padded.flatten(0, 1)
        return rows if self.slots is None else rows.index_select(0, self.slots)


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
    return Tokens.by_sample(counts, cells.coordinates(stride)[:, 1:])


def dense_tokens(x: Tensor, *, grid: Triple) -> Tokens:
    """The tokens of a whole grid for each sample of `x`."""
    places = raster(grid, device=x.device)
    coordinates = places.repeat(x.shape[0], 1)
    return Tokens(x.shape[0], product(grid), coordinates, shared=places)


def raster(size: Triple, *, device: torch.device) -> Tensor:
    """(n, 3) long: the places of a box (z, y, x), x fastest."""
    return torch.cartesian_prod(*(torch.arange(edge, device=device) for edge in size))
