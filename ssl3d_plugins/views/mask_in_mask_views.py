"""The views `mask_in_mask`: a shrunk crop, parts that it hides, and cells that those hide."""

from __future__ import annotations

from torch import Tensor

from ssl3d.geometry import Triple, times
from ssl3d.kinds.masker import Masker
from ssl3d.kinds.resized import resized_valid
from ssl3d.kinds.view import Region, View, draw_hidden, valid_share, visible_cells
from ssl3d.kinds.views import Made, Views
from ssl3d.sparse import split_cells
from ssl3d.streams import Seeds
from ssl3d_plugins.views.mask_in_mask_config import MaskInMask
from ssl3d_plugins.views.mask_in_mask_draw import Place, draw_scores, lowest, places

PARTS, PLACES, CELLS = range(3)
"""What is drawn beside the masker's draws: hidden parts, places of level 3, hidden cells of it."""


class MaskInMaskViews(Views):
    """The options are `MaskInMask`'s."""

    config: MaskInMask

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        """One view, then `crops`, then `cells` of each of these."""
        outer, parts = self._outer(region, seeds=seeds)
        crops = tuple(
            self._crop(region, part, masker=masker, seeds=seeds, number=i)
            for i, part in enumerate(parts)
        )
        if not self.config.cells:
            return (outer,), crops
        inner = (self._inner(region, crop, seeds=seeds, number=i) for i, crop in enumerate(crops))
        return (outer,), crops, tuple(view for views in inner for view in views)

    def _outer(self, region: Region, *, seeds: Seeds) -> tuple[View, list[Place]]:
        """Level 1, and the parts that are the crops of level 2."""
        volume, valid = region.read((0, 0, 0), region.extent, size=self.levels[0].size)
        share = valid_share(valid, cell=self.cell)
        hideable = share >= 0.5
        cells = split_cells(hideable[None, None], cell=self._part).flatten(1)
        may = (cells.float().mean(1) >= 0.5).view(self.config.shrink)
        scores = draw_scores(self.config.shrink, generator=seeds.of_sample(PARTS, 0))
        parts = lowest(scores, among=may, share=self.config.outer_share)
        inside = parts
        for axis, edge in enumerate(self._part):
            inside = inside.repeat_interleave(edge, axis)
        view = _view(
            volume, valid, (inside & hideable,), share, corner=(0, 0, 0), extent=region.extent
        )
        return view, places(scores, hidden=parts, may=may, count=self.config.crops)

    def _crop(
        self, region: Region, part: Place, *, masker: Masker, seeds: Seeds, number: int
    ) -> View:
        """A part of the large crop at its own resolution."""
        size = self.levels[1].size
        corner, box = times(part.at, size), (times(part.at, self._part), self._part)
        volume, valid = region.read(corner, size, size=size)
        share = valid_share(valid, cell=self.cell)
        hidden = draw_hidden(share, masker=masker, seeds=seeds, number=number)
        inside = (0, box) if part.hidden else None
        return _view(volume, valid, hidden, share, corner=corner, extent=size, inside=inside)

    def _inner(self, region: Region, crop: View, *, seeds: Seeds, number: int) -> list[View]:
        """Cells of a crop, to be enlarged."""
        views, hidden = [], crop.hidden[0]
        gd, gh, gw = hidden.shape
        scores = draw_scores((gd, gh, gw), generator=seeds.of_sample(PLACES, number))
        some = hidden | crop.visible  # holds a valid voxel
        for i, cell in enumerate(places(scores, hidden=hidden, may=some, count=self.config.cells)):
            z, y, x = map(sum, zip(crop.corner, times(cell.at, self.cell), strict=True))
            volume, valid = region.read((z, y, x), self.cell, size=self.cell)
            larger = resized_valid(valid[None], size=self.levels[2].size)[0]
            share = valid_share(larger, cell=self.cell)
            own = lowest(
                draw_scores((gd, gh, gw), generator=seeds.of_sample(CELLS, number, i)),
                among=share >= 0.5,
                share=self.config.inner_share,
            )
            inside = (number, (cell.at, (1, 1, 1))) if cell.hidden else None
            views.append(
                _view(
                    volume,
                    valid,
                    (own,),
                    share,
                    corner=(z, y, x),
                    extent=self.cell,
                    inside=inside,
                )
            )
        return views

    @property
    def _part(self) -> Triple:
        """Cells of level 1 that a crop of level 2 covers."""
        part = self.levels[1].place
        assert part is not None
        return part


def _view(
    volume: Tensor,
    valid: Tensor,
    hidden: tuple[Tensor, ...],
    share: Tensor,
    *,
    corner: Triple,
    extent: Triple,
    inside: tuple[int, tuple[Triple, Triple]] | None = None,
) -> View:
    """A view; `inside` is its parent, and corner and extent in the parent's cells."""
    parent, box = inside or (None, None)
    visible = visible_cells(share, hidden=hidden[0])
    return View(volume, valid, hidden, visible, corner, extent, parent=parent, parent_box=box)
