"""The scales that a decoder goes through below the finest stage of a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from ssl3d.geometry import Stage, divides, show
from ssl3d.plugin.config import Problem


def broken_steps(stages: Sequence[Stage], *, name: str) -> Iterable[Problem]:
    """Stages, fine to coarse, between which no whole factors lead up."""
    for fine, coarse in pairwise(stages):
        if not divides(fine.stride, coarse.stride):
            yield Problem(
                "name",
                f"{name} goes up from stage to stage by whole factors; the backbone has a stage "
                f"of stride {show(coarse.stride)} after one of {show(fine.stride)}: use "
                "another backbone or decoder",
            )
