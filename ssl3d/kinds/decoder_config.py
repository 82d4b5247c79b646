"""What the options of a decoder are, and what validation asks of them. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from ssl3d.geometry import Operation, Stage
from ssl3d.plugin.config import ComponentConfig, Problem

if TYPE_CHECKING:
    from ssl3d.kinds.decoder import Decoder


class DecoderConfig(ComponentConfig):
    """Options of a decoder, and what validation must know of it without building it.

    `stages` are the backbone's, fine to coarse.
    """

    kind: ClassVar[str] = "decoder"

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
