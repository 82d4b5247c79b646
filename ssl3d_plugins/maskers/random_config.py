"""Options of the masker `random`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from ssl3d.geometry import Triple
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.config import Problem
from ssl3d_plugins.maskers.blocks import fewest_visible, fit_block
from ssl3d_plugins.maskers.ratio_and_block import Block, Ratio


class Random(MaskerConfig):
    """Hides blocks of cells at random, an exact share of them in each sample.

    With blocks of one cell this is the masking of SparK (arXiv 2301.03580, section 3.1).
    """

    builds = "ssl3d_plugins.maskers.random_masker:RandomMasker"
    name: Literal["random"] = "random"
    ratio: Ratio = Field(
        default=0.6,
        description="share of the hideable blocks that is hidden, above 0 and below 1; a range "
        "(low, high) draws one share for each batch",
    )
    block: Block = Field(
        default=(1, 1, 1),
        description="cells that are hidden together, per axis; it must divide the grid. auto: the "
        "largest that leaves 16 blocks, or one cell",
        json_schema_extra={"unit": "cells"},
    )

    def problems(self, *, grid: Triple) -> Iterable[Problem]:
        """A grid of one cell, or a block that does not divide the grid into two or more."""
        try:
            fit_block(self.block, grid=grid)
        except ValueError as error:
            yield Problem("block", str(error))

    @property
    def fixed_count(self) -> bool:
        """Unless the ratio is drawn."""
        return not isinstance(self.ratio, tuple)

    def fewest_visible(self, grid: Triple) -> int:
        """What the highest ratio leaves."""
        return fewest_visible(grid, block=self.block, ratio=self.ratio)
