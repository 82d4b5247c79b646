"""Options of the decoder `waveformer`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field

from ssl3d.geometry import Stage, Triple, divides, product, quotient, show
from ssl3d.kinds.decoder_config import Beside, DecoderConfig
from ssl3d.plugin.config import Problem


class WaveFormerUNet(DecoderConfig):
    """The decoder of WaveFormer (arXiv 2503.23764, section 3), up to full resolution.

    The deepest map, recalibrated by squeeze and excitation, goes through an inverse wavelet
    transform for each finer stage, with the details that the encoder stored there, and is joined
    with that stage. Branches are up-sampled to the finest stage and joined, and last with the
    volume. Residual blocks on the volume and on each stage come before. Hidden sites are zero in
    all that it reads. Most of it is at full resolution: at 128³ it takes 24 times the operations
    of the whole encoder, so that little of a step is saved by hiding.
    """

    builds = "ssl3d_plugins.waveformer.decoder:WaveFormerUNetDecoder"
    name: Literal["waveformer"] = "waveformer"
    refine_details: bool = Field(
        default=False,
        description="each sub-band is multiplied by a gate between 0 and 1 that is computed from "
        "it, before the inverse transform; off in the published best model",
    )

    def needs(self) -> frozenset[Beside]:
        """Details, and the volume."""
        return frozenset({"details", "volume"})

    def problems(self, *, stages: Sequence[Stage]) -> Iterator[Problem]:
        """Stages whose details do not lead from the deepest stage to them."""
        *finer, deepest = stages
        if not finer:
            yield Problem("name", "waveformer joins stages, and the backbone has one: use `patch`")
        for i, stage in enumerate(finer):
            path = (stage, *stage.details)
            steps = [factor(fine, coarse) for fine, coarse in pairwise(path)]
            leads = path[-1].stride == deepest.stride and all(
                step is not None and level.channels == stage.channels * (product(step) - 1)
                for step, level in zip(steps, stage.details, strict=True)
            )
            if not leads:
                yield Problem(
                    "name",
                    f"waveformer transforms back from stride {show(deepest.stride)} to that of "
                    f"each stage; the details of stage {i} end at {show(path[-1].stride)}: leave "
                    "out the backbone's levels, or use another decoder",
                )


def factor(fine: Stage, coarse: Stage) -> Triple | None:
    """How many sites one coefficient is made of, 1 or 2 on each axis; None for anything else."""
    if not divides(fine.stride, coarse.stride):
        return None
    found = quotient(coarse.stride, fine.stride)
    return found if max(found) == 2 else None
