"""What a step is given: the views of some samples, collated where the data is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ssl3d.kinds.level import Level
from ssl3d.kinds.resized import resized
from ssl3d.sparse import CellGrid, HiddenLevels
from ssl3d.sparse.moved import moved


class ViewBatch:
    """The views of one level, sample by sample: R = B · count rows.

    Attributes:
        level: what they have in common.
        volume: (R, C, D, H, W), 0 where not valid; smaller than the level's size where it is to be
            `enlarged`.
        valid: (R, D, H, W) bool; None where all voxels are valid.
        present: (R, C) bool, False for channels that a sample lacks: 0 in the volume, and nothing
            that is to be restored; None where all are there.
        cells: what the encoder may see.
        hidden: nested levels of hidden cells.
        hidden_positions: for each of them (M,) raster index in the R·Gd·Gh·Gw cells.
        parent: (R,) row in the level before, -1 where a view lies in none; None where no view does.
        parent_box: (R, 2, 3) corner and extent in the parent's cells, 0 where there is none; None
            likewise.
    """

    __slots__ = (
        "cells",
        "hidden",
        "hidden_positions",
        "level",
        "parent",
        "parent_box",
        "present",
        "valid",
        "volume",
    )

    def __init__(
        self,
        volume: Tensor,
        *,
        valid: Tensor | None,
        cells: CellGrid,
        hidden: HiddenLevels,
        hidden_positions: tuple[Tensor, ...],
        level: Level,
        parent: Tensor | None = None,
        parent_box: Tensor | None = None,
        present: Tensor | None = None,
    ) -> None:
        self.volume = volume
        self.valid = valid
        self.cells = cells
        self.hidden = hidden
        self.hidden_positions = hidden_positions
        self.level = level
        self.parent = parent
        self.parent_box = parent_box
        self.present = present

    def __len__(self) -> int:
        return len(self.volume)

    def enlarged(self) -> ViewBatch:
        """The same at the level's size; itself where it has it."""
        if tuple(self.volume.shape[2:]) == self.level.size:
            return self
        other = copy.copy(self)
        other.volume, other.valid = resized(self.volume, self.valid, size=self.level.size)
        return other

    def moved(self, move: Callable[[Any], Any]) -> ViewBatch:
        """The same with `move` of everything that holds tensors."""
        return ViewBatch(
            move(self.volume),
            valid=move(self.valid),
            cells=move(self.cells),
            hidden=move(self.hidden),
            hidden_positions=tuple(map(move, self.hidden_positions)),
            level=self.level,
            parent=move(self.parent),
            parent_box=move(self.parent_box),
            present=move(self.present),
        )


class Batch:
    """The views of some samples.

    Attributes:
        views: of each level. Levels that show the same voxels share them.
        samples: number of each sample.
        sources: where each sample was cut from.
        extra: further tensors by name, such as labels.
    """

    __slots__ = ("extra", "samples", "sources", "views")

    def __init__(
        self,
        views: tuple[ViewBatch, ...],
        *,
        samples: tuple[int, ...],
        sources: tuple[str, ...],
        extra: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self.views = views
        self.samples = samples
        self.sources = sources
        self.extra = dict(extra)

    def __len__(self) -> int:
        return len(self.samples)

    def pin_memory(self) -> Batch:
        """The same in pinned memory."""
        return self._moved(lambda held: held.pin_memory())

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device; see `moved`."""
        return self._moved(
            lambda held: moved(held, device) if isinstance(held, Tensor) else held.to(device)
        )

    def _moved(self, move: Callable[[Any], Any]) -> Batch:
        """Each object once: what is shared stays shared."""
        done: dict[int, Any] = {}

        def once(held: Any) -> Any:
            if held is not None and id(held) not in done:
                done[id(held)] = move(held)
            return None if held is None else done[id(held)]

        return Batch(
            tuple(view.moved(once) for view in self.views),
            samples=self.samples,
            sources=self.sources,
            extra={name: once(held) for name, held in self.extra.items()},
        )
