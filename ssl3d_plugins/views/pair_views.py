"""The views `pair`: each of two volumes, with the other beside it."""

from __future__ import annotations

from ssl3d.kinds.masker import Masker
from ssl3d.kinds.view import Region, View, draw_hidden, valid_share, visible_cells
from ssl3d.kinds.views import Made, Views
from ssl3d.streams import Seeds


class PairViews(Views):
    """The whole region twice, the second time with its volumes exchanged."""

    def __call__(self, region: Region, *, masker: Masker, seeds: Seeds) -> Made:
        """One level of two views."""
        whole, valid = region.read((0, 0, 0), region.extent, size=region.extent)
        share, views = valid_share(valid, cell=self.cell), []
        for number in range(2):
            hidden = draw_hidden(share, masker=masker, seeds=seeds, number=number)
            views.append(
                View(
                    whole if number == 0 else whole.roll(region.channels // 2, 0),
                    valid,
                    hidden,
                    visible_cells(share, hidden=hidden[0]),
                    corner=(0, 0, 0),
                    extent=region.extent,
                )
            )
        return (tuple(views),)
