"""What the options of a decoder are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ssl3d.geometry import Operation, Stage, Triple
from ssl3d.kinds.backbone_config import BackboneConfig
from ssl3d.plugin.config import ComponentConfig, Problem
from ssl3d.plugin.registry import installed

if TYPE_CHECKING:
    from ssl3d.kinds.decoder import Decoder

Beside = Literal["details", "volume"]
"""What a decoder may read beside the feature maps."""


class DecoderConfig(ComponentConfig):
    """Options of a decoder, and what validation must know of it without building it.

    `stages` are the backbone's, fine to coarse.
    """

    kind: ClassVar[str] = "decoder"
    makes: ClassVar[str] = "ssl3d.kinds.decoder:Decoder"
    answers: ClassVar[tuple[str, ...]] = (
        "needs",
        "problems",
        "features",
        "warnings",
        "operations",
        "instance_norm_stages",
        "batch_norm_stages",
    )

    def needs(self) -> frozenset[Beside]:
        """What it reads beside the feature maps; `Decoder.forward` gets it under this name."""
        return frozenset()

    def problems(self, *, stages: Sequence[Stage]) -> Iterable[Problem]:  # noqa: ARG002
        """What does not fit a backbone with these stages."""
        return ()

    def features(self, *, stages: Sequence[Stage]) -> Stage | None:  # noqa: ARG002
        """Stride and channels of its finest dense map; None: losses cannot have it."""
        return None

    def warnings(self, *, patch: Triple) -> Iterable[str]:  # noqa: ARG002
        """What works on crops of this size, and is likely not what is wanted."""
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

    def build(
        self,
        *,
        stages: Sequence[Stage],
        out_channels: int,
        sparse: bool,
        in_channels: int | None = None,
    ) -> Decoder:
        """Make the module, with parameters from torch's global generator.

        Args:
            stages: of the feature maps that it will be given.
            out_channels: of the restored volume.
            sparse: False where it will be given dense maps, in which no site is hidden.
            in_channels: of the volume that was encoded; only who needs the volume is told.
        """
        told = {"in_channels": in_channels} if "volume" in self.needs() else {}
        decoder: Decoder = self._make(
            stages=stages, out_channels=out_channels, sparse=sparse, **told
        )
        decoder.needs = self.needs()
        return decoder


def decoder_problems(config: DecoderConfig, *, stages: Sequence[Stage]) -> Iterator[Problem]:
    """What does not fit a backbone with these stages: all that there is to say of it."""
    if "details" in config.needs() and not any(stage.details for stage in stages):
        able = [name for name in installed().names("backbone") if _has_details(name)]
        yield Problem(
            "name",
            f"{config.name} reads wavelet details, and the backbone hands on none: use another "
            f"decoder, or a backbone that does: {', '.join(able) or 'none is installed'}",
        )
        return
    yield from config.problems(stages=stages)


def _has_details(name: str) -> bool:
    """True when the backbone of this name hands details on by its default options."""
    try:
        config = installed().config("backbone", name=name)()  # type: ignore[call-arg]
    except ValueError:  # it has options without a default
        return False
    assert isinstance(config, BackboneConfig)
    return any(stage.details for stage in config.stages())
