"""What a sparse backend computes on the visible part of a volume."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from ssl3d.geometry import Operation, Triple
from ssl3d.plugin.config import SparseBackendConfig
from ssl3d.sparse import SparseVolume

ONE: Triple = (1, 1, 1)
NONE: Triple = (0, 0, 0)


class SparseBackend(ABC):
    """Spatial operations on the visible part of a volume.

    One meaning for all: zero-fill the hidden sites, run the dense operation, keep the visible
    cells. Weights are in torch layout, (O, I/groups, kz, ky, kx) and for the transposed
    convolution (I, O/groups, kz, ky, kx), so parameters do not depend on the backend. Biases apply
    at visible sites only; max-pooling counts hidden sites and borders as -inf, average pooling
    divides by the whole kernel. A backend holds no state: tables live on the volume's `CellGrid`.
    """

    def __init__(self, config: SparseBackendConfig) -> None:
        self.config = config

    @property
    def name(self) -> str:
        """The name that specs use."""
        return self.config.name

    def supports(self, op: Operation) -> bool:
        """True when the library has this operation in this sense."""
        return self.config.supports(op)

    @abstractmethod
    def conv3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Convolution; the result's stride is `x.stride · stride`."""

    @abstractmethod
    def conv_transpose3d(
        self,
        x: SparseVolume,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Triple = ONE,
        padding: Triple = NONE,
        groups: int = 1,
    ) -> SparseVolume:
        """Transposed convolution; the result has `stride` times as many sites per axis.

        For odd kernels with padding (k - 1) / 2 the dense operation's output padding is
        stride - 1, so that cells keep their size.
        """

    @abstractmethod
    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum over visible sites; hidden sites and borders count as -inf."""

    @abstractmethod
    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Sum over visible sites divided by the number of sites of the kernel."""

    @abstractmethod
    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Trilinear up-sampling of each cell by itself (align_corners=False)."""
