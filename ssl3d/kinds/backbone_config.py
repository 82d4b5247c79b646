"""What the options of a backbone are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ssl3d.geometry import Operation, Stage, Triple
from ssl3d.kinds.export_config import ExportConfig
from ssl3d.kinds.network_plan import NetworkPlan
from ssl3d.plugin.config import ComponentConfig, Problem

if TYPE_CHECKING:
    from ssl3d.kinds.backbone import Backbone


class BackboneConfig(ComponentConfig):
    """Options of a backbone, and what validation must know of it without building it.

    Attributes:
        exports: ways to take a trained encoder to another project, besides `encoder`, which every
            backbone has: `ssl3d export RUN --to NAME`.
    """

    kind: ClassVar[str] = "backbone"
    makes: ClassVar[str] = "ssl3d.kinds.backbone:Backbone"
    answers: ClassVar[tuple[str, ...]] = (
        "stages",
        "operations",
        "problems",
        "warnings",
        "instance_norm_stages",
        "batch_norm_stages",
    )
    exports: ClassVar[tuple[type[ExportConfig], ...]] = ()

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Stride and channels of each feature map, fine to coarse."""

    @abstractmethod
    def operations(self) -> tuple[Operation, ...]:
        """Every spatial operation that the backbone asks of a sparse backend."""

    def problems(self, *, cell: Triple, sparse: bool) -> Iterable[Problem]:  # noqa: ARG002
        """What does not fit this cell size; `sparse` is False for a dense, zero-filled pass."""
        return ()

    def warnings(self, *, patch: Triple) -> Iterable[str]:  # noqa: ARG002
        """What works on crops of this size, and is likely not what is wanted."""
        return ()

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of one sample and channel: one is too few."""
        return ()

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of the batch and channel: one is too few."""
        return ()

    @classmethod
    def planned(cls, plan: NetworkPlan) -> Mapping[str, Any] | None:  # noqa: ARG003
        """Options that give the strides of a plan, and of the rest what there are options for.

        `ssl3d inspect` suggests them. None: there are no options for strides per axis.
        """
        return None

    @property
    def total_stride(self) -> Triple:
        """Voxels per site of the coarsest stage."""
        return self.stages()[-1].stride

    def build(self, *, in_channels: int) -> Backbone:
        """Make the module, with parameters from torch's global generator."""
        backbone: Backbone = self._make(in_channels=in_channels)
        return backbone
