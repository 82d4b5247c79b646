"""Convolutions for a dense tensor or the visible part of one, with parameters in torch layout."""

from __future__ import annotations

from typing import Self

from torch import nn
from torch.nn import functional as F

from ssl3d.geometry import Operation, Triple, as_triple, same_padding
from ssl3d.sparse import FeatureMap, SparseVolume


class Conv3d(nn.Conv3d):
    """3D convolution; on a `SparseVolume` it is computed by the backend found there.

    Weight (O, I/groups, kz, ky, kx), bias (O,).

    Raises:
        ValueError: the backend does not have this operation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int | Triple,
        stride: int | Triple = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        k, s = as_triple(kernel), as_triple(stride)
        padding = same_padding(k, stride=s)
        super().__init__(in_channels, out_channels, k, s, padding, groups=groups, bias=bias)
        self.kernel: Triple = k
        self.factor: Triple = s
        self.border: Triple = padding

    @classmethod
    def of(cls, op: Operation, *, bias: bool = True) -> Self:
        """The layer of a planned operation."""
        layer = cls(*op.channels, kernel=op.kernel, stride=op.stride, groups=op.groups, bias=bias)
        assert (op.kind, op.padding) == ("conv3d", layer.border), f"no such layer: {op.describe()}"
        return layer

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """(B, I, D, H, W) or its visible cells to O channels at `stride` times the stride."""
        if isinstance(x, SparseVolume):
            return x.backend.conv3d(
                x,
                self.weight,
                self.bias,
                stride=self.factor,
                padding=self.border,
                groups=self.groups,
            )
        return super().forward(x)


class ConvTranspose3d(nn.ConvTranspose3d):
    """Transposed 3D convolution that multiplies the size by `stride` on each axis.

    Kernel = stride, kernel 4 with stride 2, or an odd kernel. Weight (I, O/groups, kz, ky, kx).

    Raises:
        ValueError: the backend does not have this operation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int | Triple,
        stride: int | Triple = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        k, s = as_triple(kernel), as_triple(stride)
        padding = same_padding(k, stride=s)
        super().__init__(
            in_channels,
            out_channels,
            k,
            s,
            padding,
            output_padding=output_padding(k, stride=s),
            groups=groups,
            bias=bias,
        )
        self.kernel: Triple = k
        self.factor: Triple = s
        self.border: Triple = padding

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """(B, I, D, H, W) or its visible cells to O channels at `stride` times as many sites."""
        if isinstance(x, SparseVolume):
            return x.backend.conv_transpose3d(
                x,
                self.weight,
                self.bias,
                stride=self.factor,
                padding=self.border,
                groups=self.groups,
            )
        return F.conv_transpose3d(
            x, self.weight, self.bias, self.factor, self.border, self.output_padding, self.groups
        )


def output_padding(kernel: Triple, *, stride: Triple) -> Triple:
    """What makes the transposed output exactly `stride` times as large: stride - 1 for odd k."""
    z, y, x = (0 if k == s or k % 2 == 0 else s - 1 for k, s in zip(kernel, stride, strict=True))
    return (z, y, x)
