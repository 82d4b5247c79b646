"""Options of the masker `checkerboard`. No torch here: specs are validated with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from ssl3d.geometry import Triple, product, show
from ssl3d.kinds.masker_config import MaskerConfig
from ssl3d.plugin.config import Problem


class Checkerboard(MaskerConfig):
    """Hides every second block of cells, as a chessboard has every second square black.

    Which half is hidden is drawn for each crop.
    """

    builds = "checkerboard_masker.masker:CheckerboardMasker"
    name: Literal["checkerboard"] = "checkerboard"
    block: int = Field(
        default=1,
        ge=1,
        description="edge of a square",
        json_schema_extra={"unit": "cells"},
    )
    keep: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="chance of each hidden cell to be shown after all",
    )

    def problems(self, *, grid: Triple) -> Iterable[Problem]:
        """A grid of one square would be hidden, or shown, as a whole."""
        if product(grid) < 2 or max(grid) <= self.block:
            yield Problem(
                "block",
                f"given {self.block}; the grid of {show(grid)} cells must be longer than a block "
                "on one axis: use a larger patch, smaller cells or a smaller block",
            )
