"""A network as data or nnU-Net's plans suggest it, in words that no backbone owns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from ssl3d.geometry import Triple, times


@dataclass(frozen=True)
class NetworkPlan:
    """Stages, fine to coarse, the first of them at full size.

    Attributes:
        strides: from the stage before, per axis; of the first stage (1, 1, 1).
        kernels: of convolutions, per axis.
        widths: channels; None where a backbone is to choose.
        blocks: residual blocks; None likewise.
        norm: "instance" or "batch"; None likewise.
        bias: True where convolutions have one; None likewise.
    """

    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    widths: tuple[int, ...] | None = None
    blocks: tuple[int, ...] | None = None
    norm: str | None = None
    bias: bool | None = None

    @property
    def total_stride(self) -> Triple:
        """Voxels per site of the coarsest stage."""
        return reduce(times, self.strides)
