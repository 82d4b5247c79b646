"""Options of the decoder `spark`, and the scales that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from ssl3d.geometry import Stage, Triple, finer_strides
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.decoder_scales import broken_steps
from ssl3d.plugin.config import Problem


class Spark(DecoderConfig):
    """The light decoder of SparK (arXiv 2301.03580, section 3.3), used in pre-training only.

    Each stage gets a norm, a learned token where cells are hidden and a projection; then it goes up
    scale by scale with added skips.
    """

    builds = "ssl3d_plugins.decoders.spark_decoder:SparkDecoder"
    name: Literal["spark"] = "spark"
    width: int | None = Field(
        default=None,
        ge=8,
        description="channels at the deepest stage, halved at each finer scale; default: a quarter "
        "of the deepest stage's channels",
        json_schema_extra={"unit": "channels"},
    )
    head_stride: int = Field(
        default=8,
        ge=1,
        description="in voxels: decode up to the first scale whose stride is at most this on every "
        "axis, and restore its voxels with one linear map. 1 is the paper's decoder, which goes up "
        "to full resolution and can cost more than the visible encoder",
        json_schema_extra={"unit": "voxels"},
    )
    densify: bool = Field(
        default=True,
        description="norm and projection of each stage before the decoder; false adds the bare "
        "features through a 1 x 1 x 1 projection where widths differ",
    )
    norm: Literal["layer", "batch", "instance"] = Field(
        default="layer", description="norm of densify, over visible sites"
    )
    epsilon: float = Field(
        default=1e-5,
        gt=0,
        le=1,
        description="added to the variance in the norm of densify; SparK's public code has 1e-6 "
        "for layer norm, 1e-5 for batch norm",
    )
    token: bool = Field(
        default=True, description="a learned token of each stage where cells are hidden; false: 0"
    )

    narrows: Literal["first", "last"] = Field(
        default="first",
        description="where a step up halves its channels: in the transposed convolution, or in the "
        "last convolution, as in SparK's public code, which costs several times as much",
    )
    initial: Literal["torch", "spark"] = Field(
        default="torch",
        description="initial values: torch's own, or those of SparK's public code: convolutions of "
        "the steps up and the head normal with deviation 0.02, transposed ones after He et al. by "
        "fan out, biases 0, tokens cut at one deviation",
    )

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:
        """Stages between which it cannot go up by whole factors."""
        return broken_steps(stages, name=self.name)

    def features(self, *, stages: Sequence[Stage]) -> Stage:
        """The last scale."""
        return Stage(self.strides(stages)[-1], self.widths(stages)[-1])

    def instance_norm_stages(self, *, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """Those that densify normalises, where its norm is that of an instance."""
        return self.used(stages) if self.densify and self.norm == "instance" else ()

    def batch_norm_stages(self, *, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """Those that densify normalises, where its norm is that of a batch."""
        return self.used(stages) if self.densify and self.norm == "batch" else ()

    def used(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """The stages of the backbone that it reads, fine to coarse; others lie below the head."""
        return tuple(stages)[-len(self.strides(stages)) :]

    def strides(self, stages: Sequence[Stage]) -> tuple[Triple, ...]:
        """Strides of the scales, coarse to fine, at least two where there is a finer one.

        They end with the first scale below the deepest whose stride is at most `head_stride` on
        every axis; below the finest stage each further scale halves what is still above 1.
        """
        strides = [stage.stride for stage in reversed(stages)]
        strides.extend(finer_strides(strides[-1]))
        for i, stride in enumerate(strides[1:], start=1):
            if max(stride) <= self.head_stride:
                return tuple(strides[: i + 1])
        return tuple(strides)

    def widths(self, stages: Sequence[Stage]) -> tuple[int, ...]:
        """Channels of the scales, coarse to fine."""
        width = self.width or max(8, stages[-1].channels // 4)
        return tuple(max(8, width >> i) for i in range(len(self.strides(stages))))
