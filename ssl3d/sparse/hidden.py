"""What is hidden: nested levels of hidden cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ssl3d.geometry import Triple
from ssl3d.sparse.moved import moved


class HiddenLevels(NamedTuple):
    """Nested hidden cells.

    Attributes:
        levels: each (B, Gd, Gh, Gw) bool. Level 0 is all that the encoder may not see; level
            i + 1 lies inside level i.
        weights: share of each level in the restoration loss.
    """

    levels: tuple[Tensor, ...]
    weights: tuple[float, ...] = (1.0,)

    def to(self, device: torch.device | str) -> HiddenLevels:
        """The same levels on another device; see `moved`."""
        return self._replace(levels=tuple(moved(level, device) for level in self.levels))

    def pin_memory(self) -> HiddenLevels:
        """The same levels in pinned memory."""
        return self._replace(levels=tuple(level.pin_memory() for level in self.levels))

    def voxels(self, cell: Triple) -> tuple[Tensor, ...]:
        """The levels voxel by voxel, each (B, D, H, W) bool."""
        return tuple(cells_to_voxels(level, cell=cell) for level in self.levels)


def check_levels(levels: Sequence[Tensor], *, weights: Sequence[float]) -> None:
    """Raise ValueError where hidden levels of any number of axes are none.

    No level, not boolean, unequal shapes, or a level outside the one before it.
    """
    if not levels or len(levels) != len(weights):
        raise ValueError(
            f"{len(levels)} hidden levels with {len(weights)} weights: give one weight for each "
            "of at least one level"
        )
    if any(level.dtype != torch.bool for level in levels):
        raise ValueError(f"a hidden level must be boolean, got {[level.dtype for level in levels]}")
    if len({level.shape for level in levels}) > 1:
        raise ValueError(f"levels differ in shape: {[tuple(level.shape) for level in levels]}")
    for i, (outer, inner) in enumerate(pairwise(levels)):
        if bool((inner & ~outer).any()):
            raise ValueError(f"level {i + 1} hides cells that level {i} shows: nest them")


def described(held: object) -> str:
    """A tensor by type, shape and device, such as `torch.bool of shape (4, 4, 4) on cpu`."""
    if not isinstance(held, Tensor):
        return type(held).__name__
    return f"{held.dtype} of shape {tuple(held.shape)} on {held.device.type}"


def cells_to_voxels(hidden: Tensor, *, cell: Triple) -> Tensor:
    """(B, Gd, Gh, Gw) repeated to (B, D, H, W)."""
    for axis, edge in enumerate(cell):
        hidden = hidden.repeat_interleave(edge, axis + 1)
    return hidden


def voxels_to_cells(hidden: Tensor, *, cell: Triple) -> Tensor:
    """(B, D, H, W) bool to (B, Gd, Gh, Gw); raises ValueError where a cell is hidden in part."""
    cd, ch, cw = cell
    cells = hidden[:, ::cd, ::ch, ::cw]
    size = tuple(hidden.shape[1:])
    if any(s % c for s, c in zip(size, cell, strict=True)) or not torch.equal(
        cells_to_voxels(cells, cell=cell), hidden
    ):
        raise ValueError(
            f"hidden voxels must be whole cells of {cell} voxels: a cell is hidden in part"
        )
    return cells
