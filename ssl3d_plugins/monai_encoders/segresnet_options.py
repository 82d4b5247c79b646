"""Options of MONAI's SegResNet encoder (Myronenko 2018, arXiv 1810.11654)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from ssl3d.geometry import Operation, Stage
from ssl3d_plugins.monai_encoders.encoder_options import ONE, TWO, EncoderOptions, centred

if TYPE_CHECKING:
    pass

Blocks = Annotated[int, Field(ge=0, le=256)]


class SegResNet(EncoderOptions):
    """Encoder half of `monai.networks.nets.SegResNet`."""

    builds = "ssl3d_plugins.monai_encoders.networks:SegResNetEncoder"
    whole = "monai.networks.nets.segresnet:SegResNet"

    unused = ("up_layers.*", "up_samples.*", "conv_final.*")

    name: Literal["segresnet"] = "segresnet"
    init_filters: PositiveInt = Field(
        default=8,
        le=4096,
        description="channels of the first stage; doubled at each stage",
        json_schema_extra={"unit": "channels"},
    )
    blocks_down: tuple[Blocks, ...] = Field(
        default=(1, 2, 2, 4),
        min_length=1,
        max_length=12,
        description="residual blocks of each stage",
    )
    norm: Literal["group", "batch", "instance"] = Field(
        default="group", description="statistics see visible sites only"
    )
    num_groups: PositiveInt = Field(default=8, description="groups of channels of the group norm")
    act: Literal["relu", "leakyrelu", "elu", "gelu"] = Field(
        default="relu", description="the activation"
    )

    @model_validator(mode="after")
    def _groups_divide(self) -> SegResNet:
        if self.norm == "group" and self.init_filters % self.num_groups:
            raise ValueError(
                f"num_groups is {self.num_groups}: must divide init_filters, {self.init_filters}"
            )
        return self

    def arguments(self, *, in_channels: int) -> dict[str, Any]:
        """Those of `SegResNet`; `blocks_up` must have one entry less than `blocks_down`."""
        norms = {"group": {"num_groups": self.num_groups}, "instance": {"affine": True}}
        return {
            "spatial_dims": 3,
            "init_filters": self.init_filters,
            "in_channels": in_channels,
            "act": [self.act, {"inplace": True} if self.act != "gelu" else {}],
            "norm": [self.norm, norms.get(self.norm, {})],
            "blocks_down": list(self.blocks_down),
        }

    def stages(self) -> tuple[Stage, ...]:
        """Strides 1, 2, 4, ... on every axis."""
        scales = (2**i for i in range(len(self.blocks_down)))
        return tuple(Stage((s, s, s), self.init_filters * s) for s in scales)

    def operations(self) -> tuple[Operation, ...]:
        """3³ convolutions only."""
        widths = [stage.channels for stage in self.stages()]
        found = [centred(3, channels=(1, widths[0]))]
        for i, (width, blocks) in enumerate(zip(widths, self.blocks_down, strict=True)):
            if i:
                found.append(centred(3, stride=TWO, channels=(widths[i - 1], width)))
            found += [centred(3, stride=ONE, channels=(width, width))] * blocks
        return tuple(dict.fromkeys(found))

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Those with blocks, of instance norm; of group norm with one channel in a group."""
        alone = {"instance": 0, "group": self.num_groups, "batch": -1}[self.norm]
        return tuple(s for s in self._with_blocks() if alone in (0, s.channels))

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Those with blocks, of batch norm."""
        return self._with_blocks() if self.norm == "batch" else ()

    def _with_blocks(self) -> tuple[Stage, ...]:
        """Only blocks have norms."""
        stages = zip(self.stages(), self.blocks_down, strict=True)
        return tuple(stage for stage, blocks in stages if blocks)
