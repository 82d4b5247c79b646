"""Options of the masker `mim`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ssl3d.geometry import Triple, product, show, times
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.config import Problem
from ssl3d_plugins.maskers.blocks import (
    fewest_visible,
    fit_block,
    fit_inner_block,
    grid_of_two_granularities,
    smallest_block,
)
from ssl3d_plugins.maskers.ratio_and_block import Block, Ratio

Weight = Annotated[float, Field(gt=0)]


class MiM(MaskerConfig):
    """Mask in mask: coarse blocks are hidden, and finer blocks are drawn inside them.

    After the idea of arXiv 2404.15580, on one crop. Level 0 is the coarse blocks, level 1 the finer
    ones, always a part of level 0. With the views `single` the encoder runs once with level 0
    hidden, so level 1 changes the loss only: its cells count twice, by `level_weights`. With the
    views `nested` a second pass of the encoder hides level 1 alone. The paper's crops in crops are
    the views `mask_in_mask`, with a masker of one level such as `random`.
    """

    builds = "ssl3d_plugins.maskers.mim_masker:MiMMasker"
    name: Literal["mim"] = "mim"
    global_ratio: Ratio = Field(
        default=0.6,
        description="level 0: share of the hideable coarse blocks, above 0 and below 1; a range "
        "(low, high) draws one share for each batch",
    )
    local_ratio: Ratio = Field(
        default=0.5,
        description="level 1: share of the finer blocks inside level 0, above 0 and below 1, or a "
        "range",
    )
    global_block: Block = Field(
        default="auto",
        description="cells of a coarse block, per axis; it must divide the grid. auto: the "
        "largest that leaves 16 blocks, or one cell",
        json_schema_extra={"unit": "cells"},
    )
    local_block: Block = Field(
        default="auto",
        description="cells of a finer block, per axis; it must divide the coarse block. auto: the "
        "largest that is smaller on each axis longer than one cell",
        json_schema_extra={"unit": "cells"},
    )
    level_weights: tuple[Weight, Weight] = Field(
        default=(1.0, 1.0),
        description="weights of level 0 and level 1 in the restoration loss, above 0; only their "
        "proportion counts",
    )

    def problems(self, *, grid: Triple) -> Iterable[Problem]:
        """A grid of one cell, or blocks that do not divide what they must."""
        try:
            outer = fit_block(self.global_block, grid=grid)
        except ValueError as error:
            yield Problem("global_block", str(error))
            return
        try:
            fit_inner_block(self.local_block, outer=outer)
        except ValueError as error:
            yield Problem("local_block", str(error))

    def cautions(self, *, grid: Triple, cell: Triple) -> Iterable[Problem]:
        """Blocks of one size at both levels: one granularity, where two are the idea."""
        outer = fit_block(self.global_block, grid=grid)
        if fit_inner_block(self.local_block, outer=outer) != outer:
            return
        larger, blocks = grid_of_two_granularities(grid), smallest_block(grid)
        advice = [f"a patch from {show(times(larger, cell))} voxels, with blocks left to auto"]
        if blocks is not None:
            advice = [f"global_block {list(blocks)} with local_block 1", *advice]
        if product(outer) > 1:
            advice = ["local_block auto"]
        yield Problem(
            "global_block",
            f"on {show(grid)} cells both levels hide blocks of {show(outer)} cells, that is "
            f"{show(times(outer, cell))} voxels: there is one granularity and not two. What would "
            f"give two: {', or '.join(advice)}",
        )

    def fewest_visible(self, grid: Triple) -> int:
        """What the highest global ratio leaves; a view that hides level 1 alone shows more."""
        return fewest_visible(grid, block=self.global_block, ratio=self.global_ratio)

    def weights(self) -> tuple[float, ...]:
        """`level_weights`."""
        return self.level_weights

    @model_validator(mode="before")
    @classmethod
    def _passes_are_views(cls, options: Any) -> Any:
        """Older specs say here how often the encoder runs."""
        if isinstance(options, dict) and "passes" in options:
            rest = {name: value for name, value in options.items() if name != "passes"}
            raise PydanticCustomError(
                "moved",
                "passes is no option of a masker any more: which crops are encoded, and how often, "
                "is said by the spec's views. Give views={views} beside the masker {rest}",
                {"views": repr(options["passes"]), "rest": str(rest)},
            )
        return options
