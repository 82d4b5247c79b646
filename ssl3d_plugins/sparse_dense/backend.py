"""Every sparse operation by its definition: zero-fill, compute densely, keep visible cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple
from ssl3d.sparse import SparseBackend, SparseVolume
from ssl3d.sparse.backend_config import SparseBackendConfig
from ssl3d.sparse.operations import convolution, pooling, result_stride, upsampling
from ssl3d.sparse.volume import NONE, ONE


class DenseBackend(SparseBackend):
    """The reference. Shapes, and the errors raised, are those of `SparseBackend`."""

    config: SparseBackendConfig

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
        """Hidden sites read as zeros; the bias is kept at visible sites only."""
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups)
        return self._densely(
            x, op, lambda dense: F.conv3d(dense, weight, bias, stride, padding, 1, groups)
        )

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
        """Hidden sites read as zeros; the output padding makes the size exactly `stride` times."""
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups, transposed=True)
        extra = [s + 2 * p - k for k, s, p in zip(op.kernel, stride, padding, strict=True)]
        return self._densely(
            x,
            op,
            lambda dense: F.conv_transpose3d(dense, weight, bias, stride, padding, extra, groups),
        )

    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Hidden sites read as -inf."""
        op = pooling(x, kind="max_pool3d", kernel=kernel, stride=stride, padding=padding)
        lowest = x.features.new_full((x.channels,), -torch.inf)
        return self._densely(
            x, op, lambda dense: F.max_pool3d(dense, kernel, stride, padding), fill=lowest
        )

    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Hidden sites read as zeros and count in the divisor."""
        op = pooling(x, kind="avg_pool3d", kernel=kernel, stride=stride, padding=padding)
        border = [
            p for p in reversed(padding) for _ in range(2)
        ]  # torch's own needs size >= kernel
        return self._densely(
            x, op, lambda dense: F.avg_pool3d(F.pad(dense, border), kernel, stride)
        )

    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Each cell is up-sampled as a volume of its own."""
        stride = result_stride(x, upsampling(x, scale=scale), config=self.config)
        boxes = x.features.permute(0, 4, 1, 2, 3)
        finer = F.interpolate(
            boxes,
            scale_factor=tuple(float(s) for s in scale),
            mode="trilinear",
            align_corners=False,
        )
        return x.with_features(finer.permute(0, 2, 3, 4, 1).contiguous(), stride=stride)

    def _densely(
        self,
        x: SparseVolume,
        op: Operation,
        function: Callable[[Tensor], Tensor],
        *,
        fill: Tensor | None = None,
    ) -> SparseVolume:
        stride = result_stride(x, op, config=self.config)
        result = function(x.to_dense(fill=fill))
        return x.with_features(x.cells.gather(result, stride=stride), stride=stride)
