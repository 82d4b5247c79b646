"""Options of the views `mask_in_mask`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from ssl3d.geometry import PerAxis, Triple, divides, product, quotient, show, times
from ssl3d.kinds.level import Level
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.kinds.views_config import ViewsConfig
from ssl3d.plugin.config import Problem
from ssl3d_plugins.views.share import hidden_count

Share = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]


class MaskInMask(ViewsConfig):
    """Mask in mask in three levels (arXiv 2404.15580): parts of a large crop that it hides.

    Level 1 is a crop of `shrink` patches an axis, read at the size of one, with whole parts of the
    size of a patch hidden: its octants. Level 2 is native crops of a patch, each one of these
    parts, and the masker draws what is hidden of them. Level 3 is single hidden cells of each of
    those, read at their own resolution and enlarged to a patch on the device. Where fewer places
    are hidden than are asked for they are used again, with other cells hidden; where none is, as
    in a crop of padding, a view lies in no other.

    With patches of 96³, cells of 16³ and the masker `random` all sizes, shares, counts and weights
    are the paper's. Its public code differs: level 1 hides four runs of 27 of its 216 tokens in
    raster order. Here it hides octants, so that what a crop of level 2 shows is a hidden part, and
    has a place there that `info_nce` can compare it with.
    """

    builds = "ssl3d_plugins.views.mask_in_mask_views:MaskInMaskViews"
    places = True
    name: Literal["mask_in_mask"] = "mask_in_mask"
    shrink: PerAxis = Field(
        default=(2, 2, 2),
        description="level 1: patches of the large crop on each axis, and by how much it is shrunk",
    )
    outer_share: Share = Field(
        default=0.5, description="level 1: share of its parts that is hidden; 4 of 8 octants"
    )
    crops: int = Field(default=4, ge=1, le=64, description="level 2: crops of a sample")
    cells: int = Field(
        default=4, ge=0, le=64, description="level 3: cells of each crop; 0: there is no level 3"
    )
    inner_share: Share = Field(
        default=0.5, description="level 3: share of its cells that is hidden"
    )
    level_weights: tuple[Weight, Weight, Weight] = Field(
        default=(1.0, 1.0, 1.0), description="weights of the three levels in each loss, above 0"
    )

    def extent(self, patch: Triple) -> Triple:
        """The large crop."""
        return times(patch, self.shrink)

    def levels(self, patch: Triple, *, cell: Triple, masker: MaskerConfig) -> tuple[Level, ...]:
        """The large crop, `crops` of its parts, and `cells` cells of each."""
        grid = quotient(patch, cell)
        first, second, third = self.level_weights
        part, parts = quotient(grid, self.shrink), product(self.shrink)
        shown = (parts - hidden_count(self.outer_share, among=parts)) * product(part)
        levels = (
            Level(1, patch, weight=first, shown=shown),
            Level(self.crops, patch, weight=second, hidden=masker.weights(), place=part),
        )
        if not self.cells:
            return levels
        shown = product(grid) - hidden_count(self.inner_share, among=product(grid))
        inner = Level(self.crops * self.cells, patch, weight=third, place=(1, 1, 1), shown=shown)
        return (*levels, inner)

    def problems(
        self,
        *,
        patch: Triple,
        cell: Triple,
        masker: MaskerConfig,  # noqa: ARG002
    ) -> Iterable[Problem]:
        """A crop of one part, or parts that are no whole cells of the shrunk crop."""
        if min(self.shrink) < 1 or product(self.shrink) < 2:
            yield Problem(
                "shrink", f"given {self.shrink}: give 1 or more on each axis, and two parts or more"
            )
            return
        grid = quotient(patch, cell)
        if not divides(self.shrink, grid):
            z, y, x = (-(-g // s) * s for g, s in zip(grid, self.shrink, strict=True))
            yield Problem(
                "shrink",
                f"{show(self.shrink)} parts do not divide a patch of {show(grid)} cells: the parts "
                "of the shrunk crop must be whole cells. Take a patch such as "
                f"{show(times((z, y, x), cell))} voxels, or another shrink",
            )
