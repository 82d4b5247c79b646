"""The views `single` and `nested`: one crop, the whole region."""

from __future__ import annotations

from torch import Tensor

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View, draw_hidden, visible_cells
from ssl3d.kinds.views import Views
from ssl3d.streams import Seeds


class SingleViews(Views):
    """The whole region once; the options are `Single`'s."""

    def __call__(
        self, region: Region, *, masker: Masker, seeds: Seeds
    ) -> tuple[tuple[View, ...], ...]:
        """One level of one view, with every level that the masker draws."""
        volume, valid = region.read((0, 0, 0), region.extent, size=region.extent)
        hidden = draw_hidden(valid, cell=self.cell, masker=masker, seeds=seeds)
        return ((self._view(volume, valid, hidden=hidden),),)

    def _view(self, volume: Tensor, valid: Tensor, *, hidden: tuple[Tensor, ...]) -> View:
        d, h, w = valid.shape
        visible = visible_cells(valid, hidden=hidden[0], cell=self.cell)
        return View(volume, valid, hidden, visible, corner=(0, 0, 0), extent=(d, h, w))


class NestedViews(SingleViews):
    """The whole region once for each level that the masker draws; the options are `Nested`'s."""

    def __call__(
        self, region: Region, *, masker: Masker, seeds: Seeds
    ) -> tuple[tuple[View, ...], ...]:
        """As many levels of one view as the masker draws, each hiding that level alone."""
        ((whole,),) = super().__call__(region, masker=masker, seeds=seeds)
        return tuple(
            (self._view(whole.volume, whole.valid, hidden=(level,)),) for level in whole.hidden
        )
