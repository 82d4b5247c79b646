"""The scales that a decoder goes through below the finest stage of a backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from ssl3d.geometry import Stage, Triple, divides, show
from ssl3d.plugin.config import Problem


def finer_strides(stride: Triple) -> tuple[Triple, ...]:
    """Strides below this one down to 1: each halves what is even, and what is odd goes to 1."""
    strides = [stride]
    while max(strides[-1]) > 1:
        z, y, x = (max(1, s // 2) if s % 2 == 0 else 1 for s in strides[-1])
        strides.append((z, y, x))
    return tuple(strides[1:])


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
