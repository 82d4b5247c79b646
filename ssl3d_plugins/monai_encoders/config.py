"""The `monai` backbone: which of MONAI's encoders, and its options."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from ssl3d.geometry import Operation, Stage
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.kinds.export_config import ExportConfig
from ssl3d.plugin.section import by_name, name_of
from ssl3d_plugins.monai_encoders.export_config import ToMonai
from ssl3d_plugins.monai_encoders.resnet_options import ResNet
from ssl3d_plugins.monai_encoders.segresnet_options import SegResNet

Network = Annotated[
    Annotated[SegResNet, Tag("segresnet")] | Annotated[ResNet, Tag("resnet")],
    Discriminator(name_of),
    BeforeValidator(by_name),
]


class Monai(BackboneConfig):
    """One of MONAI's dense encoders, unchanged on plain tensors, masked on visible cells.

    On visible cells every layer of MONAI's network runs in this project's sense: hidden sites are
    zero before each operation and statistics see visible sites only. What it costs is up to the
    sparse backend: `dense`, the reference, pays for the whole volume at every layer; `cells` for
    what is visible. Neither network has stochastic depth, so there is no `drop_path` here.
    """

    builds = "ssl3d_plugins.monai_encoders.backbone:MonaiBackbone"
    exports: ClassVar[tuple[type[ExportConfig], ...]] = (ToMonai,)
    name: Literal["monai"] = "monai"
    network: Network = Field(
        default=SegResNet(), description="segresnet or resnet, with options named as in MONAI"
    )

    def stages(self) -> tuple[Stage, ...]:
        """Those of the network."""
        return self.network.stages()

    def operations(self) -> tuple[Operation, ...]:
        """Those of the network."""
        return self.network.operations()

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of one sample and one channel."""
        return self.network.instance_norm_stages()

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of the batch."""
        return self.network.batch_norm_stages()
