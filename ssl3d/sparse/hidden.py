"""What a masker hides: nested levels of hidden cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ssl3d.geometry import Triple


@dataclass(frozen=True, eq=False)
class HiddenLevels:
    """Nested hidden cells.

    Attributes:
        levels: each (B, Gd, Gh, Gw) bool. Level 0 is all that the encoder may not see; level
            i + 1 lies inside level i.
        weights: share of each level in the restoration loss.
        passes: `single` encodes once with level 0 hidden and restores every level from that;
            `nested` encodes once for each level, with that level alone hidden.

    Raises:
        ValueError: no level, not boolean, unequal shapes, or a level outside the one before it.
    """

    levels: tuple[Tensor, ...]
    weights: tuple[float, ...] = (1.0,)
    passes: Literal["single", "nested"] = "single"

    def __post_init__(self) -> None:
        if not self.levels or len(self.levels) != len(self.weights):
            raise ValueError(
                f"{len(self.levels)} hidden levels with {len(self.weights)} weights: give one "
                "weight for each of at least one level"
            )
        for level in self.levels:
            if level.dtype != torch.bool or level.dim() != 4:
                raise ValueError(
                    f"a hidden level must be boolean (B, Gd, Gh, Gw), got {level.dtype} of shape "
                    f"{tuple(level.shape)}"
                )
            if level.shape != self.levels[0].shape:
                raise ValueError(f"levels differ in shape: {[tuple(s.shape) for s in self.levels]}")
        for i, (outer, inner) in enumerate(zip(self.levels, self.levels[1:], strict=False)):
            if bool((inner & ~outer).any()):
                raise ValueError(f"level {i + 1} hides cells that level {i} shows: nest them")

    def encoder_passes(self) -> tuple[HiddenLevels, ...]:
        """One entry for each encoder pass: what it hides is level 0 of the entry."""
        if self.passes == "single":
            return (self,)
        return tuple(
            HiddenLevels((level,), weights=(weight,))
            for level, weight in zip(self.levels, self.weights, strict=True)
        )

    def to(self, device: torch.device) -> HiddenLevels:
        """The same levels on another device."""
        moved = tuple(level.to(device) for level in self.levels)
        return HiddenLevels(moved, weights=self.weights, passes=self.passes)

    def rows(self, start: int, stop: int) -> HiddenLevels:
        """The levels of samples `start` to `stop` of the batch."""
        kept = tuple(level[start:stop] for level in self.levels)
        return HiddenLevels(kept, weights=self.weights, passes=self.passes)

    def voxels(self, cell: Triple) -> tuple[Tensor, ...]:
        """The levels voxel by voxel, each (B, D, H, W) bool."""
        return tuple(cells_to_voxels(level, cell=cell) for level in self.levels)


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
