"""The light decoder of SparK (arXiv 2301.03580, section 3.3), for any strides per axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple, product, quotient
from ssl3d.masked.densify import Densify
from ssl3d.sparse import FeatureMap, join_cells, split_cells
from ssl3d.sparse.layers import BatchNorm, Conv3d, ConvTranspose3d, Linear, NormKind


def decoder_strides(stages: Sequence[Stage], *, head_stride: int) -> list[Triple]:
    """Strides of the decoder's scales, coarse to fine, at least two.

    Ends with the first scale below the deepest whose stride is at most `head_stride` on every
    axis; below the finest stage each further scale halves what is still above 1.
    """
    strides = [stage.stride for stage in reversed(stages)]
    while max(strides[-1]) > 1:
        z, y, x = (max(1, s // 2) if s % 2 == 0 else 1 for s in strides[-1])
        strides.append((z, y, x))
    for i, stride in enumerate(strides[1:], start=1):
        if max(stride) <= head_stride:
            return strides[: i + 1]
    return strides


def _up_kernel(factor: Triple) -> Triple:
    """4 where the size doubles, as in the paper; 3 where it stays, the factor itself otherwise."""
    z, y, x = ({1: 3, 2: 4}.get(f, f) for f in factor)
    return (z, y, x)


class UpBlock(nn.Module):
    """Transposed convolution, then conv - batch norm - ReLU6 - conv - batch norm.

    Narrows in the transposed convolution; SparK's public code does in the last convolution.
    """

    def __init__(self, channels: int, *, out_channels: int, factor: Triple) -> None:
        super().__init__()
        self.up = ConvTranspose3d(channels, out_channels, kernel=_up_kernel(factor), stride=factor)
        self.block = nn.Sequential(
            Conv3d(out_channels, out_channels, kernel=3, bias=False),
            BatchNorm(out_channels),
            nn.ReLU6(inplace=True),
            Conv3d(out_channels, out_channels, kernel=3, bias=False),
            BatchNorm(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to `out_channels` at `factor` times the size."""
        out: Tensor = self.block(self.up(x))
        return out


class SparkDecoder(nn.Module):
    """Densify each stage, go up scale by scale with added skips, end in a linear patch head.

    Args:
        stages: of the backbone, fine to coarse.
        out_channels: of the restored volume.
        width: channels at the deepest scale; halved at each finer one, at least 8.
        head_stride: see `decoder_strides`; 1 is the paper's decoder.
        norm: of densify; None leaves norm and 3 x 3 x 3 projection out.
        token: a learned token where cells are hidden.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        out_channels: int,
        width: int,
        head_stride: int,
        norm: NormKind | None = "layer",
        token: bool = True,
    ) -> None:
        super().__init__()
        strides = decoder_strides(stages, head_stride=head_stride)
        widths = [max(8, width >> i) for i in range(len(strides))]
        # Only the stages that the decoder uses: modules without gradients would stall DDP.
        used = list(reversed(stages))[: len(strides)]
        self.densify = nn.ModuleList(
            Densify(
                stage.channels,
                width=w,
                kernel=1 if i == 0 or norm is None else 3,
                norm=norm,
                token=token,
            )
            for i, (stage, w) in enumerate(zip(used, widths, strict=False))
        )
        self.ups = nn.ModuleList(
            UpBlock(c, out_channels=f, factor=quotient(coarse, fine))
            for (c, f), (coarse, fine) in zip(pairwise(widths), pairwise(strides), strict=True)
        )
        self.head_stride = strides[-1]
        self.out_channels = out_channels
        self.head = Linear(widths[-1], out_channels * product(self.head_stride))

    def forward(self, features: Sequence[FeatureMap]) -> Tensor:
        """Feature maps, fine to coarse, to the restored volume (B, out_channels, D, H, W)."""
        skips = [densify(x) for densify, x in zip(self.densify, reversed(features), strict=False)]
        x = skips[0]
        for i, up in enumerate(self.ups, start=1):
            x = up(x)
            if i < len(skips):
                x = x + skips[i]
        return self._voxels(self.head(x))

    def _voxels(self, patches: Tensor) -> Tensor:
        """(B, C·h³, D, H, W) to (B, C, D·h, H·h, W·h)."""
        if self.head_stride == (1, 1, 1):
            return patches
        b, _, d, h, w = patches.shape
        boxes = split_cells(patches, cell=(1, 1, 1)).view(
            b * d * h * w, *self.head_stride, self.out_channels
        )
        return join_cells(boxes, grid=(d, h, w))
