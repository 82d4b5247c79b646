"""Views in three levels for the tests: magnified cells inside hidden cells, and what can be wrong.

A child is one hidden cell of a view of the level before it, read at twice its size on each axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ssl3d.data.region import TensorRegion
from ssl3d.geometry import Triple, times
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.view import Region, View, draw_hidden, valid_share, visible_cells
from ssl3d.kinds.views import Views
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import Problem
from ssl3d.streams import Seeds

Made = tuple[tuple[View, ...], ...]
CHILDREN = 2
GRID: Triple = (2, 2, 2)
"""Cells per axis of a child."""


class Magnified(ViewsConfig):
    """One crop, two cells that it hides, and two that each of them hides."""

    builds: ClassVar[str] = "toy_views:MagnifiedViews"
    name: Literal["magnified"] = "magnified"
    cell: Triple = (2, 2, 4)

    def levels(
        self,
        patch: Triple,
        *,
        cell: Triple,  # noqa: ARG002
        masker: MaskerConfig,
    ) -> tuple[Level, ...]:
        hidden, size = masker.weights(), times(GRID, self.cell)
        return tuple(
            Level(count, edges, weight=1 / count, hidden=hidden)
            for count, edges in ((1, patch), (CHILDREN, size), (CHILDREN**2, size))
        )

    def problems(self, *, patch: Triple, cell: Triple, masker: MaskerConfig) -> list[Problem]:  # noqa: ARG002
        return [] if cell == self.cell else [Problem("cell", f"given {cell}: not {self.cell}")]


class MagnifiedViews(Views):
    """A child's place is drawn among the hidden cells of its parent that are valid throughout."""

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        made: list[tuple[View, ...]] = []
        for level in self.levels:
            views = []
            for number in range(level.count):
                view = self._place(region, level, made, number=number, seeds=seeds)
                draw = 10 * len(made) + number
                views.append(self._hidden(view, masker=masker, seeds=seeds, number=draw))
            made.append(tuple(views))
        return tuple(made)

    def _place(
        self,
        region: Region,
        level: Level,
        made: list[tuple[View, ...]],
        *,
        number: int,
        seeds: Seeds,
    ) -> View:
        if not made:
            return self._read(region, (0, 0, 0), region.extent, level=level)
        parent = made[-1][number // CHILDREN]
        whole = valid_share(parent.valid, cell=self.cell) == 1
        places = (parent.hidden[0] & whole).nonzero()
        random = seeds.of_sample(len(made), number, 1)
        z, y, x = places[int(torch.randint(len(places), (), generator=random))].tolist()
        corner, extent = [], []
        for axis, at in enumerate((z, y, x)):
            step = self.cell[axis] * parent.extent[axis] // parent.valid.shape[axis]
            corner.append(parent.corner[axis] + at * step)
            extent.append(step)
        child = self._read(region, triple(corner), triple(extent), level=level)
        box = ((z, y, x), (1, 1, 1))
        return dataclasses.replace(child, parent=number // CHILDREN, parent_box=box)

    def _read(self, region: Region, corner: Triple, extent: Triple, *, level: Level) -> View:
        volume, valid = region.read(corner, extent, size=level.size)
        return View(volume, valid, (), torch.empty(0), corner=corner, extent=extent)

    def _hidden(self, view: View, *, masker: Masker, seeds: Seeds, number: int) -> View:
        share = valid_share(view.valid, cell=self.cell)
        hidden = draw_hidden(share, masker=masker, seeds=seeds, number=number)
        visible = visible_cells(share, hidden=hidden[0])
        return dataclasses.replace(view, hidden=hidden, visible=visible)


def triple(numbers: list[int]) -> Triple:
    z, y, x = numbers
    return (z, y, x)


class Wrong(Magnified):
    """The same with one thing wrong."""

    builds: ClassVar[str] = "toy_views:WrongViews"
    name: Literal["magnified"] = "magnified"
    fault: str

    def levels(self, patch: Triple, *, cell: Triple, masker: MaskerConfig) -> tuple[Level, ...]:
        levels = super().levels(patch, cell=cell, masker=masker)
        if self.fault == "half a cell":
            return (dataclasses.replace(levels[0], size=(patch[0] - 1, *patch[1:])), *levels[1:])
        return levels[:2] if self.fault == "a level too many" else levels

    def problems(self, *, patch: Triple, cell: Triple, masker: MaskerConfig) -> list[Problem]:
        if self.fault == "no such option" and len(masker.weights()) > 2:
            return [Problem("count", "give less")]
        return super().problems(patch=patch, cell=cell, masker=masker)

    def model_dump_json(self, **options: Any) -> str:
        left_out = {"fault"} if self.fault == "no JSON" else set[str]()
        return super().model_dump_json(exclude=left_out, **options)


class WrongViews(MagnifiedViews):
    """Spoils what is given, what is drawn from, or what was made."""

    config: Wrong
    drawn = 0

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        self.drawn += 1
        if self.config.fault in SEEDS:
            seeds = SEEDS[self.config.fault](seeds, self.drawn)
        if self.config.fault == "the region changes":
            assert isinstance(region, TensorRegion)
            region.volume.mul_(2)
        if self.config.fault == "a level too many":
            size = times(GRID, self.cell)
            self.levels = (*self.levels, Level(CHILDREN**2, size, hidden=self.levels[0].hidden))
        made = super().__call__(region, masker=masker, seeds=seeds)
        spoil = VIEWS.get(self.config.fault)
        if spoil is None:
            return made
        return tuple(tuple(spoil(view) for view in level) for level in made)

    def _hidden(self, view: View, *, masker: Masker, seeds: Seeds, number: int) -> View:
        number = 0 if self.config.fault == "one draw for all views" else number
        return super()._hidden(view, masker=masker, seeds=seeds, number=number)


SEEDS: dict[str, Callable[[Seeds, int], Seeds]] = {
    "global state": lambda seeds, _: seeds._replace(sample=int(torch.randint(9999, ()))),
    "what was drawn before": lambda seeds, drawn: seeds._replace(sample=seeds.sample + 9 * drawn),
    "one sample for all": lambda seeds, _: seeds._replace(seed=0, sample=0),
    "sample for batch": lambda seeds, _: seeds._replace(first=seeds.sample),
    "first for sample": lambda seeds, _: seeds._replace(sample=seeds.sample + 99 * seeds.first),
    "no batch": lambda seeds, _: seeds._replace(first=0),
    "one stream": lambda seeds, _: Seeds(seeds.seed, seeds.sample, seeds.first),
}


def _moved(view: View) -> View:
    z, y, x = view.corner
    return dataclasses.replace(view, corner=(max(0, z - 1), y, x)) if view.parent_box else view


def _shown(view: View) -> View:
    if view.parent_box is None:
        return dataclasses.replace(view, hidden=tuple(level ^ True for level in view.hidden))
    return view


def _other(view: View, **changes: object) -> View:
    return dataclasses.replace(view, **changes)  # type: ignore[arg-type]


def _all(valid: Tensor) -> Tensor:
    return torch.ones_like(valid)


VIEWS: dict[str, Callable[[View], View]] = {
    "moved": _moved,
    "flipped": lambda view: _other(view, volume=view.volume.flip(1)),
    "all valid": lambda view: _other(view, valid=_all(view.valid)),
    "not zero": lambda view: _other(view, volume=torch.where(view.valid, view.volume, 1)),
    "double": lambda view: _other(view, volume=view.volume.double()),
    "not nested": lambda view: _other(view, hidden=(view.hidden[0], view.hidden[0] ^ True)),
    "numbers": lambda view: _other(view, hidden=tuple(level.float() for level in view.hidden)),
    "padding is visible": lambda view: _other(view, visible=~view.hidden[0]),
    "a parent without a box": lambda view: _other(view, parent_box=None),
    "another parent": lambda view: _other(view, parent=view.parent and 1 - view.parent),
    "parents show their children": _shown,
}
