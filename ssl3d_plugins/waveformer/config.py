"""Options of the backbone `waveformer`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ssl3d.geometry import (
    Operation,
    PerAxis,
    Stage,
    Triple,
    divides,
    operations_in,
    quotient,
    show,
    times,
)
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.plugin.config import Problem
from ssl3d.plugin.section import Presets
from ssl3d_plugins.waveformer.checks import (
    default_heads,
    heads_divide,
    one_per_stage,
    wide_enough_to_rotate,
    within,
)
from ssl3d_plugins.waveformer.levels import (
    block_of,
    deepest_level,
    depth_problems,
    detail_stages,
)
from ssl3d_plugins.waveformer.names import check_wavelet, is_haar
from ssl3d_plugins.waveformer.plan import StagePlan, plan_of

PRESETS = {
    "blueprint": {"attention": "coarsest", "positions": "rope", "ffn": "mlp"},
    "paper": {"attention": "every_level", "positions": "relative_bias", "ffn": "conv_norm"},
}

WINDOW: Triple = (8, 8, 8)
"""That of the published network, for volumes of 128 voxels on each axis."""


class WaveFormer(BackboneConfig):
    """A hierarchy of transformer stages that attend over the coarsest wavelet sub-band.

    Block: `x + IDWT(attention(LLL of DWT(norm(x))), details)`, then `x + FFN(norm(x))`
    (WaveFormer, arXiv 2503.23764, section 3). By default each stage attends over one token for
    each block of the size of the total stride, so fine stages have no more tokens than coarse ones.
    Options that are left out follow from `widths`.
    """

    builds = "ssl3d_plugins.waveformer.backbone:WaveFormerBackbone"
    presets: ClassVar[Presets] = {"preset": PRESETS}

    name: Literal["waveformer"] = "waveformer"
    preset: Literal["blueprint", "paper"] | None = Field(
        default=None,
        description="paper: attention every_level, positions relative_bias and ffn conv_norm, as "
        "in the published network, mended in eight ways that `published` lists. blueprint: what "
        "these three are by default. Other values of the three are refused; none: any are taken",
    )
    published: bool = Field(
        default=False,
        description="preset paper exactly as its authors' code has it, for their weights. Eight "
        "things are otherwise by default: attention reads block means, not orthonormal "
        "coefficients, which saturate it; merging is a convolution over the whole block, not over "
        "six of its eight sites, two of them twice; levels are up-sampled by 2 again and again, "
        "not at once; the FFN has one residual, not its normed input besides; outputs pass no "
        "layer norm (`output_norm`); what windows give is put back where it was read; each offset "
        "between tokens has a bias of its own (index stride 3w - 1 in place of (2w - 1)^2 there); "
        "epsilon of the norms is 1e-5, not 1e-6",
    )
    widths: tuple[int, ...] = Field(
        default=(48, 96, 192, 384),
        min_length=1,
        max_length=12,
        description="channels of each stage, fine to coarse; their number is the number of stages",
        json_schema_extra={"unit": "channels"},
    )
    depths: tuple[int, ...] | None = Field(
        default=None, description="blocks of each stage, from 1; default: 2 each"
    )
    heads: tuple[int, ...] | None = Field(
        default=None,
        description="attention heads of each stage, which divide its width; default: a head for "
        "every 16 channels, (3, 6, 12, 24)",
    )
    patch: PerAxis = Field(
        default=(2, 2, 2),
        description="voxels per site of the first stage (z, y, x): kernel and stride of the patch "
        "embedding",
        json_schema_extra={"unit": "voxels"},
    )
    merging: tuple[PerAxis, ...] | None = Field(
        default=None,
        description="kernel and stride (z, y, x) of the patch merging before each stage but the "
        "first; default: 2 on each axis",
    )
    levels: tuple[PerAxis, ...] | None = Field(
        default=None,
        description="wavelet levels (z, y, x) of each stage; default: those that leave one token "
        "per total stride, 3, 2, 1 and 0 for the default strides",
    )
    wavelet: str = Field(
        default="haar",
        description="a discrete wavelet of PyWavelets but dmey, which is not exactly invertible; "
        "filters longer than Haar's look past a cell and work on dense volumes only, of any size",
    )
    details: Literal["identity", "mlp", "depthwise"] = Field(
        default="identity",
        description="what happens to the detail sub-bands: nothing; a pointwise MLP shared by all "
        "of them; a depthwise 3 x 3 x 3 convolution for each orientation, to which the sub-bands "
        "of hidden cells are zeros. Both start as nothing",
    )
    attention: Literal["coarsest", "every_level"] = Field(
        default="coarsest",
        description="over all tokens of the coarsest level at once, or over windows of each level "
        "with shared weights, up-sampled and summed (arXiv 2503.23764)",
    )
    window: PerAxis = Field(
        default=WINDOW, description="tokens (z, y, x) of a window, for attention every_level"
    )
    image: PerAxis | None = Field(
        default=None,
        description="in place of `window`, voxels (z, y, x) of the volumes: a window is then the "
        "whole of the deepest grid, image / 16 by default, as published",
        json_schema_extra={"unit": "voxels"},
    )
    positions: Literal["rope", "relative_bias", "none"] = Field(
        default="rope",
        description="how attention knows places: 3D rotary positions, a learned bias for each "
        "offset between tokens, or not at all",
    )
    ffn: Literal["mlp", "conv", "conv_norm"] = Field(
        default="mlp",
        description="pointwise MLP, pointwise - depthwise 3 x 3 x 3 - pointwise, or the same with "
        "layer norm and GELU after each of the first two",
    )
    mlp_ratio: float = Field(
        default=4.0,
        gt=0,
        le=64,
        description="hidden channels of the FFN for each channel of the stage",
    )
    drop_path: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="stochastic depth: chance that a sample goes without a part of the last block, "
        "in training; from 0 at the first block it rises linearly. 0.1 as published",
    )
    output_norm: bool = Field(
        default=False,
        description="layer norm, without learned scale, on the map of each stage that is given "
        "out; the next stage reads it unnormed",
    )

    @classmethod
    def planned(cls, plan: NetworkPlan) -> Mapping[str, Any]:
        """The plan's strides, from its first that halves; widths are this network's own."""
        patch, *merging = (stride for stride in plan.strides if stride != (1, 1, 1))
        options: dict[str, Any] = {"widths": tuple(48 * 2**i for i in range(1 + len(merging)))}
        if patch != (2, 2, 2):
            options["patch"] = patch
        if {*merging} - {(2, 2, 2)}:
            options["merging"] = tuple(merging)
        return options

    @field_validator("widths", "heads")
    @classmethod
    def _counts(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        return one_per_stage(within(1, 65536, value), info)

    @field_validator("depths")
    @classmethod
    def _depths(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        return one_per_stage(within(1, 256, value), info)

    @field_validator("heads")
    @classmethod
    def _heads(cls, value: tuple[int, ...] | None, info: ValidationInfo) -> Any:
        return heads_divide(info.data.get("widths", ()), value)

    @field_validator("levels")
    @classmethod
    def _levels(cls, value: tuple[Triple, ...] | None, info: ValidationInfo) -> Any:
        return one_per_stage(within(0, 16, value), info)

    @field_validator("patch", "window")
    @classmethod
    def _sizes(cls, value: Triple) -> Any:
        return within(1, 64, value)

    @field_validator("merging")
    @classmethod
    def _merging(cls, value: tuple[Triple, ...] | None, info: ValidationInfo) -> Any:
        return one_per_stage(within(1, 64, value), info, fewer=1)

    @field_validator("wavelet")
    @classmethod
    def _wavelet(cls, value: str) -> str:
        return check_wavelet(value)

    @field_validator("attention")
    @classmethod
    def _attention(cls, value: str, info: ValidationInfo) -> str:
        wavelet, details = info.data.get("wavelet", "haar"), info.data.get("details", "identity")
        if value == "every_level" and not (is_haar(wavelet) and details == "identity"):
            raise ValueError(
                f"every_level works with wavelet haar and details identity, given {wavelet!r} and "
                f"{details!r}; use those, or attention coarsest"
            )
        return value

    @field_validator("positions")
    @classmethod
    def _positions(cls, value: str, info: ValidationInfo) -> str:
        widths = info.data.get("widths")
        if value == "rope" and widths is not None and "heads" in info.data:
            wide_enough_to_rotate(widths, info.data["heads"] or default_heads(widths))
        return value

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        if self.image is not None:
            if not divides(self.strides[-1], self.image):
                raise ValueError(
                    f"image is {show(self.image)} voxels: must be a multiple of the total stride "
                    f"{show(self.strides[-1])} on each axis"
                )
            if self.window not in (WINDOW, self.tokens):
                raise ValueError(
                    f"window {show(self.window)} and image {show(self.image)} say different "
                    "things of the windows: give one of them"
                )
        return self

    @model_validator(mode="after")
    def _as_published(self) -> Self:
        if not self.published:
            return self
        if self.preset != "paper":
            raise ValueError("published is preset paper to the letter: give preset paper as well")
        twos = {(2, 2, 2)}
        if {*self.factors} != twos or self.levels is not None:
            raise ValueError(
                "published has patch and merging 2 on each axis and levels that follow from them: "
                "leave out patch, merging and levels"
            )
        return self

    @property
    def tokens(self) -> Triple:
        """Tokens of a window, per axis."""
        return self.window if self.image is None else quotient(self.image, self.strides[-1])

    @property
    def norms_output(self) -> bool:
        """True where the maps that are given out pass a layer norm."""
        return self.output_norm or self.published

    @property
    def stage_depths(self) -> tuple[int, ...]:
        """Blocks of each stage."""
        return self.depths or (2,) * len(self.widths)

    @property
    def stage_heads(self) -> tuple[int, ...]:
        """Attention heads of each stage."""
        return self.heads or default_heads(self.widths)

    @property
    def factors(self) -> tuple[Triple, ...]:
        """Stride of the convolution at the start of each stage."""
        merging = self.merging if self.merging is not None else ((2, 2, 2),) * len(self.widths[1:])
        return (self.patch, *merging)

    @property
    def stage_levels(self) -> tuple[Triple, ...]:
        """Wavelet levels of each stage, per axis."""
        if self.levels is not None:
            return self.levels
        *_, total = self.strides
        return tuple(deepest_level(quotient(total, stride)) for stride in self.strides)

    @property
    def strides(self) -> tuple[Triple, ...]:
        """Voxels per site of each stage."""
        return tuple(itertools.accumulate(self.factors, times))

    @property
    def divisor(self) -> Triple:
        """What edges of a volume (of a cell) must be multiples of, in voxels, (z, y, x)."""
        needed = self.total_stride
        if is_haar(self.wavelet):  # longer filters need no whole blocks
            for stage, levels in zip(self.stages(), self.stage_levels, strict=True):
                z, y, x = map(math.lcm, needed, times(stage.stride, block_of(levels)))
                needed = (z, y, x)
        return needed

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Hidden channels of each stage's FFN."""
        return tuple(max(1, round(width * self.mlp_ratio)) for width in self.widths)

    def stages(self) -> tuple[Stage, ...]:
        """Stride, channels and details of each stage; of longer filters it hands on none."""
        parts = zip(self.strides, self.widths, self.stage_levels, strict=True)
        haar = is_haar(self.wavelet)
        return tuple(
            Stage(stride, width, detail_stages(stride, width, levels=levels) if haar else ())
            for stride, width, levels in parts
        )

    def plan(self, *, in_channels: int = 1) -> tuple[StagePlan, ...]:
        """What the module is made of."""
        return plan_of(self, in_channels=in_channels)

    def operations(self) -> tuple[Operation, ...]:
        """Those of the plan; one input channel assumed."""
        return operations_in(self.plan())

    def problems(self, *, cell: Triple, sparse: bool) -> Iterable[Problem]:
        """Wavelet levels that are too deep for the cell; long filters on a sparse volume; options
        of sub-bands where there are none.
        """
        if not any(map(any, self.stage_levels)):
            for option, given, usual in (
                ("wavelet", self.wavelet, is_haar(self.wavelet)),
                ("details", self.details, self.details == "identity"),
            ):
                if not usual:
                    yield Problem(
                        option,
                        f"given {given!r}, which changes nothing, for no stage has a wavelet "
                        "level: leave it out, or give `levels` or more stages",
                    )
        if sparse and not is_haar(self.wavelet) and any(map(any, self.stage_levels)):
            yield Problem(
                "wavelet",
                f"given {self.wavelet!r}, whose filters look past a cell and would mix visible and "
                "hidden voxels; allowed for visible cells: haar. Other wavelets need a dense pass "
                "(encoder_input: zeroed, or a feature_encoder)",
            )
        # Longer filters need no whole blocks; a cell off the total stride is reported by the spec.
        if is_haar(self.wavelet) and divides(self.total_stride, cell):
            yield from depth_problems(self.stages(), self.stage_levels, cell=cell)
