"""The `cells` backend."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, product
from ssl3d.interfaces import NONE, ONE, SparseBackend
from ssl3d.operations import convolution, pooling, result_stride, upsampling
from ssl3d.volume import SparseVolume
from ssl3d_plugins.sparse_cells.pairs import PairConvolution, taps_of
from ssl3d_plugins.sparse_cells.precision import autocast
from ssl3d_plugins.sparse_cells.tables import pairs, window


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
        transposed = op.kind == "conv_transpose3d"
        sites, weight = autocast(x.sites, weight)
        edge_after = tuple(c // s for c, s in zip(x.cells.cell, stride, strict=True))
        fine = edge_after if transposed else x.edge
        table = pairs(x.cells, edge=(fine[0], fine[1], fine[2]), op=op)
        source, target = (table.coarse, table.fine) if transposed else (table.fine, table.coarse)
        count = x.cells.n * product((edge_after[0], edge_after[1], edge_after[2]))
        taps = taps_of(weight, groups=op.groups, transposed=transposed)
        with torch.autocast(sites.device.type, enabled=False):
            y = PairConvolution.apply(sites, taps, source, target, count)
            if bias is not None:
                y = y + bias.to(y.dtype)
        return x.with_features(y, stride=stride)

    def max_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Maximum over visible sites."""
        op = pooling(x, kind="max_pool3d", kernel=kernel, stride=stride, padding=padding)
        after = result_stride(x, op, config=self.config)
        boxes = self._boxes(x, op, fill=-torch.inf)
        pooled = F.max_pool3d(boxes, kernel, stride)
        return x.with_features(pooled.permute(0, 2, 3, 4, 1).contiguous(), stride=after)

    def avg_pool3d(
        self, x: SparseVolume, *, kernel: Triple, stride: Triple, padding: Triple = NONE
    ) -> SparseVolume:
        """Average over the kernel."""
        op = pooling(x, kind="avg_pool3d", kernel=kernel, stride=stride, padding=padding)
        after = result_stride(x, op, config=self.config)
        boxes = self._boxes(x, op, fill=0.0)
        pooled = F.avg_pool3d(boxes, kernel, stride)
        return x.with_features(pooled.permute(0, 2, 3, 4, 1).contiguous(), stride=after)

    def _boxes(self, x: SparseVolume, op: Operation, *, fill: float) -> Tensor:
        """(N, C, …) each cell with what the kernel sees around it."""
        above = [
            max(k - s - p, 0) for k, s, p in zip(op.kernel, op.stride, op.padding, strict=True)
        ]
        rows = window(x.cells, edge=x.edge, low=op.padding, high=(above[0], above[1], above[2]))
        padded = torch.cat([x.sites, x.sites.new_full((1, x.channels), fill)])
        boxes = padded.index_select(0, rows.flatten()).view(*rows.shape, x.channels)
        return boxes.permute(0, 4, 1, 2, 3)

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
