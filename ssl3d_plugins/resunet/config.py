"""Options of nnU-Net's residual encoder, and what it asks of a sparse backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ssl3d.data.spec_types import PathText
from ssl3d.geometry import Operation, PerAxis, Stage, Triple, operations_in, times
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.export_config import ExportConfig
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.plugin.section import Presets
from ssl3d_plugins.resunet.export_configs import ToNnssl, ToNnUNet
from ssl3d_plugins.resunet.from_plans import filled_in
from ssl3d_plugins.resunet.nnunet_plans import OPTIONS
from ssl3d_plugins.resunet.plan import ONE, Plan, StageOptions, plan_of
from ssl3d_plugins.resunet.presets import STAGES, Size, published_blocks, published_widths

TWO: Triple = (2, 2, 2)
THREE: Triple = (3, 3, 3)


class ResUNet(BackboneConfig):
    """nnU-Net's residual encoder (ResEnc), for volumes and for their visible part.

    Weights go to and from `ResidualEncoderUNet` of nnU-Net's dynamic_network_architectures by
    name. For thick slices give `kernels` and `strides` per axis, as nnU-Net's plans list them.
    """

    builds = "ssl3d_plugins.resunet.backbone:ResUNetBackbone"
    exports: ClassVar[tuple[type[ExportConfig], ...]] = (ToNnUNet, ToNnssl)
    presets: ClassVar[Presets] = {
        "size": {
            size: {
                "widths": published_widths(stages),
                "blocks": published_blocks(stages),
            }
            for size, stages in STAGES.items()
        }
    }

    name: Literal["resunet"] = "resunet"
    size: Size | None = Field(
        default=None,
        description="M, L and XL: widths and blocks as published, one network of six stages under "
        "three names, for which nnU-Net plans patches of 128³, 192³ and 256 × 224 × 224 voxels "
        "(nnssl trains L at 160³); S: five stages by the same rule, for 96³, since none is "
        "published. Other widths and blocks are refused; none: any are taken",
    )
    widths: tuple[Annotated[int, Field(gt=0, le=65536)], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=12,
        description="channels of each stage; default: those of M",
        json_schema_extra={"unit": "channels"},
    )
    blocks: tuple[Annotated[int, Field(gt=0, le=256)], ...] | None = Field(
        default=None, description="residual blocks of each stage; default: 1, 3, 4, 6, 6, ..."
    )
    kernels: tuple[PerAxis, ...] | None = Field(
        default=None, description="odd kernel of each stage, z y x; default: 3 everywhere"
    )
    strides: tuple[PerAxis, ...] | None = Field(
        default=None,
        description="1 or 2 per axis for each stage; default: 1 for the first stage, then 2",
    )
    norm: Literal["instance", "batch"] = Field(
        default="instance",
        description="statistics over the visible sites of a sample, or of the whole batch",
    )
    bias: bool = Field(default=True, description="bias in convolutions, as nnU-Net has it")
    drop_path: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="stochastic depth: chance that a sample goes without the branch of the last "
        "block, in training; from 0 at the first block it rises linearly",
    )
    plans: PathText | None = Field(
        default=None,
        description="plans file of nnU-Net (ResEnc planners): widths, blocks, kernels, strides, "
        "norm and bias are filled in from it when the spec is read, and it is needed no more",
    )
    configuration: str | None = Field(
        default=None, description="which configuration of the plans; default: 3d_fullres"
    )

    @classmethod
    def planned(cls, plan: NetworkPlan) -> Mapping[str, Any]:
        """The plan's own stages; widths that it leaves open by the published rule."""
        stages = len(plan.strides)
        given = {
            "widths": plan.widths or published_widths(stages),
            "blocks": plan.blocks,
            "kernels": plan.kernels if {*plan.kernels} != {THREE} else None,
            "strides": plan.strides if plan.strides != (ONE, *(TWO,) * (stages - 1)) else None,
            "norm": plan.norm,
            "bias": plan.bias,
        }
        return {option: value for option, value in given.items() if value is not None}

    @classmethod
    def settles(cls, option: str) -> Iterable[str]:
        """Plans settle the network, as a size does."""
        if option == "plans":
            return ("size", "configuration", *OPTIONS)
        return super().settles(option)

    @model_validator(mode="before")
    @classmethod
    def _as_planned(cls, given: Any) -> Any:
        return filled_in(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _stages_agree(self) -> ResUNet:
        stages = len(self._widths)
        for option in ("blocks", "kernels", "strides"):
            values = getattr(self, option)
            if values is not None and len(values) != stages:
                raise ValueError(
                    f"{option} has {len(values)} entries for {stages} stages: give one for each "
                    "stage, or leave it out"
                )
        for i, plan in enumerate(self.stage_options):
            if any(not 1 <= k <= 31 or k % 2 == 0 for k in plan.kernel):
                raise ValueError(
                    f"kernels[{i}] is {plan.kernel}: use odd numbers up to 31, such as 1 or 3"
                )
            if any(s not in (1, 2) for s in plan.stride):
                raise ValueError(f"strides[{i}] is {plan.stride}: use 1 or 2 on each axis")
            if i and plan.stride == ONE:
                raise ValueError(
                    f"strides[{i}] is {plan.stride}: every stage after the first has stride 2 on "
                    "one axis at least; give these blocks to the stage before it"
                )
        return self

    @property
    def _widths(self) -> tuple[int, ...]:
        return self.widths or published_widths(STAGES["M"])

    @property
    def stage_options(self) -> tuple[StageOptions, ...]:
        """The stages with presets and defaults filled in."""
        n = len(self._widths)
        blocks = self.blocks or published_blocks(n)
        kernels = self.kernels or (THREE,) * n
        strides = self.strides or (ONE, *(TWO,) * (n - 1))
        columns = zip(self._widths, blocks, kernels, strides, strict=True)
        return tuple(StageOptions(*row) for row in columns)

    def stages(self) -> tuple[Stage, ...]:
        """One feature map for each stage, the first one at full size unless it is strided."""
        stages: list[Stage] = []
        stride = ONE
        for plan in self.stage_options:
            stride = times(stride, plan.stride)
            stages.append(Stage(stride, plan.width))
        return tuple(stages)

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Stages whose norm takes its statistics from one sample's visible sites alone."""
        return self.stages() if self.norm == "instance" else ()

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Stages whose norm takes its statistics from the visible sites of the whole batch."""
        return self.stages() if self.norm == "batch" else ()

    def plan(self, *, in_channels: int = 1) -> Plan:
        """What the module is made of."""
        return plan_of(self.stage_options, in_channels=in_channels)

    def operations(self) -> tuple[Operation, ...]:
        """Those of the plan; one input channel assumed."""
        return operations_in(self.plan())
