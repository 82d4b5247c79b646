"""A component is its typed config: a name, its options, and where its object is made.

Configs import no torch, so that a spec is validated in full before anything heavy is loaded;
`build` imports what `builds` names.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ssl3d.geometry import Operation, Stage, Triple
from ssl3d.plugin.section import Section

if TYPE_CHECKING:
    from ssl3d.interfaces import Backbone, Decoder, Loss, Masker, SparseBackend

Kind = Literal["backbone", "sparse_backend", "masker", "decoder", "loss"]
Need = Literal["restoration", "two_stages"]


class Problem(NamedTuple):
    """Something wrong with one option: where it stands in the config, and what to do."""

    option: str
    message: str


class ComponentConfig(Section, ABC):
    """Base of every component's options.

    Subclasses set `name: Literal["..."] = "..."` and `builds = "package.module:Class"`: `build`
    imports that class and calls it with the config and what a component of its kind is told.
    """

    kind: ClassVar[Kind]
    builds: ClassVar[str]
    name: str

    @classmethod
    def component_name(cls) -> str:
        """The name that specs use for this component."""
        return str(cls.model_fields["name"].default)

    def _make(self, **context: Any) -> Any:
        """The object; raises what the import of its module and its constructor raise."""
        return pkgutil.resolve_name(self.builds)(self, **context)


class BackboneConfig(ComponentConfig):
    """Options of a backbone, and what validation must know of it without building it."""

    kind: ClassVar[Kind] = "backbone"

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Stride and channels of each feature map, fine to coarse."""

    @abstractmethod
    def operations(self) -> tuple[Operation, ...]:
        """Every spatial operation that the backbone asks of a sparse backend."""

    def problems(self, *, cell: Triple, sparse: bool) -> Iterable[Problem]:  # noqa: ARG002
        """What does not fit this cell size; `sparse` is False for a dense, zero-filled pass."""
        return ()

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of one sample and channel: one is too few."""
        return ()

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the visible sites of the batch and channel: one is too few."""
        return ()

    @property
    def total_stride(self) -> Triple:
        """Voxels per site of the coarsest stage."""
        return self.stages()[-1].stride

    def build(self, *, in_channels: int) -> Backbone:
        """Make the module, with parameters from torch's global generator."""
        backbone: Backbone = self._make(in_channels=in_channels)
        return backbone


class SparseBackendConfig(ComponentConfig):
    """Options of a sparse backend, and which operations its library has."""

    kind: ClassVar[Kind] = "sparse_backend"

    def problems(self, op: Operation) -> Iterable[str]:
        """Why the library cannot do `op` in this project's sense; nothing where it can.

        By default it can do whatever has a meaning on hidden cells.
        """
        return op.problems()

    def supports(self, op: Operation) -> bool:
        """True when the library can do `op`."""
        return not any(self.problems(op))

    def build(self) -> SparseBackend:
        """Make the backend.

        Raises:
            ModuleNotFoundError: its library is absent; the message says what to install.
            ImportError: its library is there and cannot be used.
        """
        backend: SparseBackend = self._make()
        return backend


class MaskerConfig(ComponentConfig):
    """Options of a masker."""

    kind: ClassVar[Kind] = "masker"

    def problems(self, *, grid: Triple) -> Iterable[Problem]:  # noqa: ARG002
        """What cannot work on a grid of this many cells."""
        return ()

    def levels(self) -> int:
        """How many nested hidden levels it draws."""
        return 1

    def fewest_visible(self, grid: Triple) -> int | None:  # noqa: ARG002
        """The fewest cells that a sample without invalid voxels shows, None where unknown."""
        return None

    def build(self) -> Masker:
        """Make the masker."""
        masker: Masker = self._make()
        return masker


class DecoderConfig(ComponentConfig):
    """Options of a decoder, and what validation must know of it without building it.

    `stages` are the backbone's, fine to coarse.
    """

    kind: ClassVar[Kind] = "decoder"

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:  # noqa: ARG002
        """What does not fit a backbone with these stages."""
        return ()

    def operations(self, *, stages: Sequence[Stage]) -> tuple[Operation, ...]:  # noqa: ARG002
        """Every spatial operation that it asks of a sparse backend; what is dense counts not."""
        return ()

    def instance_norm_stages(self, *, stages: Sequence[Stage]) -> tuple[Stage, ...]:  # noqa: ARG002
        """Stages with a norm over the visible sites of one sample and channel: one is too few."""
        return ()

    def batch_norm_stages(self, *, stages: Sequence[Stage]) -> tuple[Stage, ...]:  # noqa: ARG002
        """Stages with a norm over the visible sites of the batch and channel: one is too few."""
        return ()

    def build(self, *, stages: Sequence[Stage], out_channels: int, sparse: bool) -> Decoder:
        """Make the module, with parameters from torch's global generator.

        Args:
            stages: of the feature maps that it will be given.
            out_channels: of the restored volume.
            sparse: False where it will be given dense maps, in which no site is hidden.
        """
        decoder: Decoder = self._make(stages=stages, out_channels=out_channels, sparse=sparse)
        return decoder


class LossConfig(ComponentConfig):
    """Options of a loss term."""

    kind: ClassVar[Kind] = "loss"
    weight: float = Field(default=1.0, ge=0, description="factor of this term in the total loss")
    label: str = Field(default="", description="name in logs, unique in a spec; default: the name")

    @property
    def title(self) -> str:
        """The label, or the name where no label is given."""
        return self.label or self.name

    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """What the loss needs of the rest of the spec."""

    def build(self, *, stages: Sequence[Stage]) -> Loss:
        """Make the loss for a backbone's stages; it may own projection heads."""
        loss: Loss = self._make(stages=stages)
        return loss
