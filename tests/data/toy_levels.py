"""Views of three levels: the whole region, its two opposite corners, and a part of each twice."""

from __future__ import annotations

from ssl3d.kinds.level import Level
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View, draw_hidden, valid_share, visible_cells
from ssl3d.kinds.views import Views
from ssl3d.streams import Seeds
from ssl3d_plugins.views import Single

CELL = (4, 4, 4)
LEVELS = (Level(1, (16, 16, 16)), Level(2, (8, 8, 8), weight=0.5), Level(4, (8, 8, 8), weight=2.0))
# Of each view: which of the level before it lies in, its corner and extent in the region, and
# where that is in the parent's cells.
PLACES = (
    ((None, (0, 0, 0), (16, 16, 16), None),),
    tuple((0, (c, c, c), (8, 8, 8), ((c // 4,) * 3, (2, 2, 2))) for c in (0, 8)),
    tuple(
        (parent, (8 * parent + c,) * 3, (4, 4, 4), ((c // 4,) * 3, (1, 1, 1)))
        for parent in (0, 1)
        for c in (0, 4)
    ),
)


class ToyViews(Views):
    """Places never change; what is hidden is drawn for each view."""

    def __init__(self) -> None:
        super().__init__(Single(), cell=CELL, levels=LEVELS, extent=LEVELS[0].size)

    def __call__(
        self, region: Region, *, masker: Masker, seeds: Seeds
    ) -> tuple[tuple[View, ...], ...]:
        made, number = [], 0
        for level, places in zip(self.levels, PLACES, strict=True):
            views = []
            for parent, corner, extent, box in places:
                volume, valid = region.read(corner, extent, size=level.size)
                share = valid_share(valid, cell=CELL)
                hidden = draw_hidden(share, masker=masker, seeds=seeds, number=number)
                visible = visible_cells(share, hidden=hidden[0])
                views.append(View(volume, valid, hidden, visible, corner, extent, parent, box))
                number += 1
            made.append(tuple(views))
        return tuple(made)
