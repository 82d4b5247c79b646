"""What each MONAI encoder lets a spec choose, and what validation must know of it. No torch."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ssl3d.geometry import Operation, OperationKind, Stage, Triple
from ssl3d.plugin.section import Section

if TYPE_CHECKING:
    from torch import nn

ONE: Triple = (1, 1, 1)
TWO: Triple = (2, 2, 2)


class EncoderOptions(Section, ABC):
    """Options of one encoder, under the names that MONAI gives them."""

    builds: ClassVar[str]
    """Where the network is, as `package.module:Class`."""

    whole: ClassVar[str]
    """MONAI's whole network, as `package.module:Class`."""

    unused: ClassVar[tuple[str, ...]]
    """Patterns of names in MONAI's whole network that its encoder does not have."""

    @abstractmethod
    def arguments(self, *, in_channels: int) -> dict[str, Any]:
        """Those of MONAI's network that its encoder depends on, as plain values."""

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """Stride and channels of each feature map, fine to coarse."""

    @abstractmethod
    def operations(self) -> tuple[Operation, ...]:
        """Every spatial operation of the encoder, each once."""

    def instance_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the sites of one sample and one channel."""
        return ()

    def batch_norm_stages(self) -> tuple[Stage, ...]:
        """Stages with a norm over the sites of the batch."""
        return ()

    def network(self, *, in_channels: int) -> nn.Module:
        """MONAI's encoder: (B, C, D, H, W) to a tuple of the stages' feature maps."""
        network: nn.Module = pkgutil.resolve_name(self.builds)(self, in_channels=in_channels)
        return network


def centred(
    kernel: int | Triple,
    *,
    stride: Triple = ONE,
    channels: tuple[int, int],
    kind: OperationKind = "conv3d",
) -> Operation:
    """An operation with an odd kernel and padding (kernel - 1) / 2."""
    size = (kernel, kernel, kernel) if isinstance(kernel, int) else kernel
    pz, py, px = ((k - 1) // 2 for k in size)
    return Operation(kind, size, stride, (pz, py, px), channels=channels)
