"""The light decoder of SparK (arXiv 2301.03580, section 3.3), for any strides per axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from ssl3d.geometry import Stage, Triple, product, quotient
from ssl3d.kinds.decoder import Decoder, DecoderOutput
from ssl3d.sparse import FeatureMap, join_cells, split_cells
from ssl3d.sparse.layers import BatchNorm, Conv3d, ConvTranspose3d, Densify, Linear
from ssl3d_plugins.decoders.spark_config import Spark


def _up_kernel(factor: Triple) -> Triple:
    """4 where the size doubles, as in the paper; 3 where it stays, the factor itself otherwise."""
    z, y, x = ({1: 3, 2: 4}.get(f, f) for f in factor)
    return (z, y, x)


class UpBlock(nn.Module):
    """Transposed convolution, then conv - batch norm - ReLU6 - conv - batch norm.

    Args:
        channels: of the input.
        out_channels: of the result.
        factor: by which the size grows.
        narrows: where the channels become fewer, in the first layer or in the last.
    """

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int,
        factor: Triple,
        narrows: Literal["first", "last"] = "first",
    ) -> None:
        super().__init__()
        inner = out_channels if narrows == "first" else channels
        self.up = ConvTranspose3d(channels, inner, kernel=_up_kernel(factor), stride=factor)
        self.block = nn.Sequential(
            Conv3d(inner, inner, kernel=3, bias=False),
            BatchNorm(inner),
            nn.ReLU6(inplace=True),
            Conv3d(inner, out_channels, kernel=3, bias=False),
            BatchNorm(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to `out_channels` at `factor` times the size."""
        out: Tensor = self.block(self.up(x))
        return out


def initialise_as_spark(module: nn.Module) -> None:
    """Initial values of one module by SparK's public code (`LightDecoder` and its tokens)."""
    if isinstance(module, Conv3d | Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, Densify) and module.token is not None:
        nn.init.trunc_normal_(module.token, std=0.02, a=-0.02, b=0.02)
    if isinstance(module, Conv3d | ConvTranspose3d | Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


class SparkDecoder(Decoder):
    """Densify each stage, go up scale by scale with added skips, end in a linear patch head.

    Args:
        config: the options.
        stages: of the backbone, fine to coarse.
        out_channels: of the restored volume.
        sparse: False where the stages are dense maps.
    """

    def __init__(
        self, config: Spark, *, stages: Sequence[Stage], out_channels: int, sparse: bool
    ) -> None:
        super().__init__()
        strides, widths = config.strides(stages), config.widths(stages)
        # Only the stages that the decoder uses: modules without gradients would stall DDP.
        used = reversed(config.used(stages))
        self.densify = nn.ModuleList(
            Densify(
                stage.channels,
                width=w,
                kernel=1 if i == 0 or not config.densify else 3,
                norm=config.norm if config.densify else None,
                # Dense maps have no hidden site: tokens would get no gradient.
                token=config.token and sparse,
                epsilon=config.epsilon,
            )
            for i, (stage, w) in enumerate(zip(used, widths, strict=False))
        )
        self.ups = nn.ModuleList(
            UpBlock(c, out_channels=f, factor=quotient(coarse, fine), narrows=config.narrows)
            for (c, f), (coarse, fine) in zip(pairwise(widths), pairwise(strides), strict=True)
        )
        self.head_stride = strides[-1]
        self.out_channels = out_channels
        self.head = Linear(widths[-1], out_channels * product(self.head_stride))
        if config.initial == "spark":
            for module in (*self.ups.modules(), self.head, *self.densify):
                initialise_as_spark(module)

    def forward(self, stages: Sequence[FeatureMap]) -> DecoderOutput:
        """Feature maps, fine to coarse, to the last scale's features and the restored volume."""
        skips = [densify(x) for densify, x in zip(self.densify, reversed(stages), strict=False)]
        x = skips[0]
        for i, up in enumerate(self.ups, start=1):
            x = up(x)
            if i < len(skips):
                x = x + skips[i]
        return DecoderOutput(features=x, volume=self._voxels(self.head(x)))

    def _voxels(self, patches: Tensor) -> Tensor:
        """(B, C·h³, D, H, W) to (B, C, D·h, H·h, W·h)."""
        if self.head_stride == (1, 1, 1):
            return patches
        b, _, d, h, w = patches.shape
        boxes = split_cells(patches, cell=(1, 1, 1)).view(
            b * d * h * w, *self.head_stride, self.out_channels
        )
        return join_cells(boxes, grid=(d, h, w))
