"""A sparse backend that notes what it is asked for."""

from __future__ import annotations

from torch import Tensor

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import SparseBackend, SparseVolume
from ssl3d.sparse.operations import convolution, pooling, upsampling
from ssl3d.sparse.volume import NONE, ONE


class Recorder(SparseBackend):
    """Computes with another backend and keeps every operation in `operations`.

    Results carry the recorder on, so that later layers are noted too.
    """

    def __init__(self, backend: SparseBackend) -> None:
        super().__init__(backend.config)
        self.backend = backend
        self.operations: set[Operation] = set()

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
        """Convolution."""
        self.operations.add(convolution(x, weight, stride=stride, padding=padding, groups=groups))
        return self.backend.conv3d(x, weight, bias, stride=stride, padding=padding, groups=groups)

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
        """Transposed convolution."""
        self.operations.add(
            convolution(x, weight, stride=stride, padding=padding, groups=groups, transposed=True)
        )
        return self.backend.conv_transpose3d(
            x, weight, bias, stride=stride, padding=padding, groups=groups
        )

    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum."""
        self.operations.add(
            pooling(x, kind="max_pool3d", kernel=kernel, stride=stride, padding=padding)
        )
        return self.backend.max_pool3d(x, kernel=kernel, stride=stride, padding=padding)

    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Average."""
        self.operations.add(
            pooling(x, kind="avg_pool3d", kernel=kernel, stride=stride, padding=padding)
        )
        return self.backend.avg_pool3d(x, kernel=kernel, stride=stride, padding=padding)

    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Up-sampling."""
        self.operations.add(upsampling(x, scale=scale))
        return self.backend.interpolate(x, scale=scale)
