"""Options of the decoder `unet`, and the scales that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from ssl3d.geometry import Stage, finer_strides, show
from ssl3d.kinds.decoder_config import DecoderConfig
from ssl3d.kinds.decoder_scales import broken_steps
from ssl3d.plugin.config import Problem


class UNet(DecoderConfig):
    """U-shaped: up from stage to stage with skips, and on to full resolution whatever the stride.

    It reads the encoder's stages and nothing else: no convolutional stem beside the encoder looks
    at the volume, for with one a pre-trained encoder has nothing to add. Source of the blocks:
    nnU-Net (doi:10.1038/s41592-020-01008-z).
    """

    builds = "ssl3d_plugins.decoders.unet_decoder:UNetDecoder"
    name: Literal["unet"] = "unet"
    blocks: int = Field(
        default=1, ge=1, le=8, description="convolutions of each scale, after the one that joins"
    )
    norm: Literal["instance", "batch"] = Field(
        default="instance", description="norm after each convolution"
    )
    below: Literal["convolve", "interpolate"] = Field(
        default="convolve",
        description="where the finest stage is not at full resolution: convolve: further scales "
        "without a skip, each of half the channels; interpolate: the outputs of the finest stage "
        "are interpolated, which costs a fraction",
    )
    deep_supervision: bool = Field(
        default=False,
        description="also outputs at coarser scales for the loss of fine-tuning, which weighs each "
        "half as much as the finer one: all that it goes up to but the coarsest, as in nnU-Net, "
        "and of three scales the middle one",
    )

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:
        """Stages between which it cannot go up by whole factors, or too few for coarser outputs."""
        yield from broken_steps(stages, name=self.name)
        scales = self.scales(stages)
        if self.deep_supervision and not self.supervised(scales):
            yield Problem(
                "deep_supervision",
                f"given true with {len(scales)} scales, of strides "
                f"{', '.join(show(scale.stride) for scale in scales)}: there is none between the "
                "coarsest and the finest to give an output. Leave it out, or use a backbone with "
                "more stages",
            )

    def features(self, *, stages: Sequence[Stage]) -> Stage:
        """The finest scale."""
        return self.scales(stages)[-1]

    def scales(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """Strides and channels, coarse to fine: the stages, and what lies below them."""
        scales = list(reversed(stages))
        if self.below == "convolve":
            for stride in finer_strides(scales[-1].stride):
                scales.append(Stage(stride, max(8, scales[-1].channels // 2)))
        return tuple(scales)

    def supervised(self, scales: Sequence[Stage]) -> tuple[Stage, ...]:
        """Of these scales, coarse to fine, those with outputs of their own, fine to coarse."""
        if not self.deep_supervision:
            return ()
        return tuple(scales[2:-1][::-1] or scales[1:-1])
