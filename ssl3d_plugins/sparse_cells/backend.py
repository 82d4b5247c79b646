"""The `cells` backend."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple
from ssl3d.interfaces import NONE, ONE, SparseBackend
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.operations import convolution, pooling, result_stride, upsampling
from ssl3d_plugins.sparse_cells import across, inside
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_cells.halo import halo
from ssl3d_plugins.sparse_cells.layout import channels_first, channels_last
from ssl3d_plugins.sparse_cells.precision import autocast
from ssl3d_plugins.sparse_cells.tables import reach_down


class CellsBackend(SparseBackend):
    """Shapes, and the errors raised, are those of `SparseBackend`."""

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
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups)
        return self._convolve(x, weight, bias, op=op)

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
        op = convolution(x, weight, stride=stride, padding=padding, groups=groups, transposed=True)
        return self._convolve(x, weight, bias, op=op)

    def _convolve(
        self, x: SparseVolume, weight: Tensor, bias: Tensor | None, *, op: Operation
    ) -> SparseVolume:
        stride = result_stride(x, op, config=self.config)
        features, weight, bias = autocast(x.features, weight, bias)
        with torch.autocast(features.device.type, enabled=False):
            y = convolve(features, weight, bias, cells=x.cells, op=op)
        # Sums over groups come in an order of axes of their own.
        return x.with_features(y.contiguous(), stride=stride)

    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum over visible sites."""
        op = pooling(x, kind="max_pool3d", kernel=kernel, stride=stride, padding=padding)
        after = result_stride(x, op, config=self.config)
        boxes = halo(x.features, cells=x.cells, reach=reach_down(op), fill=-torch.inf)
        pooled = F.max_pool3d(channels_first(boxes), kernel, stride)
        return x.with_features(channels_last(pooled), stride=after)

    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Sum over visible sites divided by the sites of the kernel."""
        op = pooling(x, kind="avg_pool3d", kernel=kernel, stride=stride, padding=padding)
        after = result_stride(x, op, config=self.config)
        boxes = halo(x.features, cells=x.cells, reach=reach_down(op))
        pooled = F.avg_pool3d(channels_first(boxes), kernel, stride)
        return x.with_features(channels_last(pooled), stride=after)

    def interpolate(self, x: SparseVolume, *, scale: Triple) -> SparseVolume:
        """Up-sampling of each cell by itself."""
        stride = result_stride(x, upsampling(x, scale=scale), config=self.config)
        finer = F.interpolate(
            x.features.permute(0, 4, 1, 2, 3),
            scale_factor=tuple(float(s) for s in scale),
            mode="trilinear",
            align_corners=False,
        )
        return x.with_features(finer.permute(0, 2, 3, 4, 1).contiguous(), stride=stride)


def convolve(
    features: Tensor, weight: Tensor, bias: Tensor | None, *, cells: CellGrid, op: Operation
) -> Tensor:
    """(N, e…, I) to (N, e'…, O) by the fastest way for this operation and cell."""
    if op.inside_cells:
        inside_cell = inside.convolve if op.kind == "conv3d" else inside.convolve_transposed
        return inside_cell(features, weight, bias, groups=op.groups)
    way = choose(op, features=features)
    return across.convolve(features, weight, bias, cells=cells, op=op, way=way)
