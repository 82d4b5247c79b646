"""Pooling and up-sampling of a dense tensor or the visible part of one."""

from __future__ import annotations

from typing import Self

from torch import nn
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, as_triple, same_padding
from ssl3d.sparse import FeatureMap, SparseVolume


class _Pool(nn.Module):
    def __init__(self, *, kernel: int | Triple, stride: int | Triple) -> None:
        super().__init__()
        self.kernel: Triple = as_triple(kernel)
        self.stride: Triple = as_triple(stride)
        self.padding = same_padding(self.kernel, stride=self.stride)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class MaxPool3d(_Pool):
    """Maximum over visible sites; hidden sites and borders count as -inf."""

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same channels at `stride` times the stride."""
        if isinstance(x, SparseVolume):
            return x.backend.max_pool3d(
                x, kernel=self.kernel, stride=self.stride, padding=self.padding
            )
        return F.max_pool3d(x, self.kernel, self.stride, self.padding)


class AvgPool3d(_Pool):
    """Sum over visible sites divided by the number of sites of the kernel."""

    @classmethod
    def of(cls, op: Operation) -> Self:
        """The layer of a planned operation."""
        layer = cls(kernel=op.kernel, stride=op.stride)
        assert (op.kind, op.padding) == ("avg_pool3d", layer.padding), f"no: {op.describe()}"
        return layer

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same channels at `stride` times the stride."""
        if isinstance(x, SparseVolume):
            return x.backend.avg_pool3d(
                x, kernel=self.kernel, stride=self.stride, padding=self.padding
            )
        return F.avg_pool3d(x, self.kernel, self.stride, self.padding)


class Interpolate(nn.Module):
    """Trilinear up-sampling by a whole factor per axis; visible cells are up-sampled alone."""

    def __init__(self, *, scale: int | Triple) -> None:
        super().__init__()
        self.scale: Triple = as_triple(scale)

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same channels at `scale` times as many sites per axis."""
        if isinstance(x, SparseVolume):
            return x.backend.interpolate(x, scale=self.scale)
        factor = tuple(float(s) for s in self.scale)
        return F.interpolate(x, scale_factor=factor, mode="trilinear", align_corners=False)
