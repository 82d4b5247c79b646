"""The views `single` and `nested`: one crop, the whole region."""

from __future__ import annotations

from torch import Tensor

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View, draw_hidden, valid_share, visible_cells
from ssl3d.kinds.views import Made, Views
from ssl3d.streams import Seeds


class SingleViews(Views):
    """The whole region once; the options are `Single`'s."""

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        """One level of one view for each entry of `hidden_of`; they share their voxels."""
        volume, valid = region.read((0, 0, 0), region.extent, size=region.extent)
        share = valid_share(valid, cell=self.cell)
        levels = draw_hidden(share, masker=masker, seeds=seeds)
        return tuple(
            (
                View(
                    volume,
                    valid,
                    hidden,
                    visible_cells(share, hidden=hidden[0]),
                    corner=(0, 0, 0),
                    extent=region.extent,
                ),
            )
            for hidden in self.hidden_of(levels)
        )

    def hidden_of(self, levels: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], ...]:
        """What each view hides, of the nested levels that the masker drew: all of them."""
        return (levels,)


class NestedViews(SingleViews):
    """The whole region once for each level that the masker draws; the options are `Nested`'s."""

    def hidden_of(self, levels: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], ...]:
        """Each level alone."""
        return tuple((level,) for level in levels)
