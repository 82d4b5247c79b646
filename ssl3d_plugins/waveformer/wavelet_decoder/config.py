"""Options of the decoder `wavelet`, and the scales that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from ssl3d.geometry import Stage, Triple, quotient
from ssl3d.kinds.decoder_config import Beside, DecoderConfig
from ssl3d.kinds.decoder_scales import broken_steps
from ssl3d.plugin.config import Problem
from ssl3d_plugins.waveformer.checks import default_heads, wide_enough_to_rotate
from ssl3d_plugins.waveformer.levels import deepest_level
from ssl3d_plugins.waveformer.names import check_wavelet, is_haar


class Wavelet(DecoderConfig):
    """Wavelet attention: up from stage to stage, at each through a block that attends to it.

    Each stage is made dense (layer norm, learned token where cells are hidden, projection). A block
    attends on the low band of its map over one token for each total stride, then to the low band of
    the encoder's stage, and transforms back with the details of that stage. A linear map takes each
    site of the finest scale to its voxels.
    """

    builds = "ssl3d_plugins.waveformer.wavelet_decoder.decoder:WaveletDecoder"
    name: Literal["wavelet"] = "wavelet"
    width: int | None = Field(
        default=None,
        ge=8,
        le=65536,
        description="channels at the deepest stage, halved at each finer scale; default: those of "
        "the stages",
        json_schema_extra={"unit": "channels"},
    )
    mlp_ratio: float = Field(
        default=4.0, gt=0, le=64, description="hidden channels of the MLP for each channel"
    )
    wavelet: str = Field(
        default="haar",
        description="a discrete wavelet of PyWavelets but dmey, which is not exactly invertible; "
        "maps are dense here, so any may be taken whatever the encoder's is",
    )
    details: Literal["stage", "handed_on"] = Field(
        default="stage",
        description="stage: the sub-bands of the encoder's dense stage, of any backbone; "
        "handed_on: those that the backbone's last block of the stage left alone, zero where cells "
        "are hidden, with the backbone's levels; waveformer with haar hands them on",
    )
    head_stride: int = Field(
        default=1,
        ge=1,
        description="in voxels: go up to the first stage whose stride is at most this on every "
        "axis; a larger one is cheaper, and coarser stages alone are read then",
        json_schema_extra={"unit": "voxels"},
    )
    tokens: int = Field(
        default=4096,
        ge=1,
        description="the most tokens that one attention may see, whose time grows with their "
        "square; a larger map is an error",
    )

    @field_validator("wavelet")
    @classmethod
    def _wavelet(cls, value: str) -> str:
        return check_wavelet(value)

    @field_validator("details")
    @classmethod
    def _details(cls, value: str, info: ValidationInfo) -> str:
        wavelet = info.data.get("wavelet", "haar")
        if value == "handed_on" and not is_haar(wavelet):
            raise ValueError(
                f"handed_on details are Haar's, given wavelet {wavelet!r}; use haar, or details "
                "stage"
            )
        return value

    def needs(self) -> frozenset[Beside]:
        """Details, where the backbone hands them on."""
        return frozenset({"details"} if self.details == "handed_on" else ())

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:
        """Stages between which it cannot go up by whole factors, or too narrow to attend to."""
        yield from broken_steps(stages, name=self.name)
        widths = self.widths(stages)
        try:
            wide_enough_to_rotate(widths, default_heads(widths))
        except ValueError:
            yield Problem(
                "width",
                f"{', '.join(map(str, widths))} channels at its scales, coarse to fine: attention "
                "has rotary positions, which need 6: give width from 8, or take wider stages",
            )

    def used(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """The stages that it reads, coarse to fine."""
        read: list[Stage] = []
        for stage in reversed(stages):
            read.append(stage)
            if max(stage.stride) <= self.head_stride:
                break
        return tuple(read)

    def widths(self, stages: Sequence[Stage]) -> tuple[int, ...]:
        """Channels at each scale, coarse to fine."""
        used = self.used(stages)
        if self.width is None:
            return tuple(stage.channels for stage in used)
        return tuple(max(8, self.width >> i) for i in range(len(used)))

    def levels(self, stages: Sequence[Stage]) -> tuple[Triple, ...]:
        """Wavelet levels at each scale, coarse to fine.

        Those that leave one token for each total stride, or where details are handed on the
        backbone's.
        """
        if self.details == "handed_on":
            ends = [(s.details or (s,))[-1].stride for s in self.used(stages)]
        else:
            ends = [stages[-1].stride] * len(self.used(stages))
        return tuple(
            deepest_level(quotient(end, stage.stride))
            for end, stage in zip(ends, self.used(stages), strict=True)
        )
