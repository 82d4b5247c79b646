"""The parts of WaveFormer's decoder (arXiv 2503.23764, section 3), on dense maps."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Triple
from ssl3d.sparse.layers import Conv3d, InstanceNorm

SLOPE = 0.01
"""Of the leaky ReLU."""


def plain_norm(channels: int) -> InstanceNorm:
    """Instance norm without learned scale and shift, as MONAI's blocks have it."""
    return InstanceNorm(channels, affine=False)


class ResidualBlock(nn.Module):
    """Twice conv 3³ - norm, plus the input, projected where the channels change.

    `UnetResBlock` of MONAI, which the published network is built of.
    """

    def __init__(self, channels: int, *, out_channels: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(channels, out_channels, kernel=3, bias=False)
        self.conv2 = Conv3d(out_channels, out_channels, kernel=3, bias=False)
        self.norm = plain_norm(out_channels)
        self.project = (
            None
            if channels == out_channels
            else Conv3d(channels, out_channels, kernel=1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same size."""
        skip = x if self.project is None else self.norm(self.project(x))
        x = F.leaky_relu(self.norm(self.conv1(x)), SLOPE)
        return F.leaky_relu(self.norm(self.conv2(x)) + skip, SLOPE)


class Recalibration(nn.Module):
    """A bottleneck of convolutions, squeeze and excitation (Hu et al. 2018), and a residual."""

    def __init__(self, channels: int, *, reduction: int = 4) -> None:
        super().__init__()
        inner = max(1, channels // reduction)
        self.reduce = Conv3d(channels, inner, kernel=1)
        self.conv = Conv3d(inner, inner, kernel=3)
        self.expand = Conv3d(inner, channels, kernel=1)
        self.inner_norm, self.norm = plain_norm(inner), plain_norm(channels)
        self.fc1, self.fc2 = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.residual = Conv3d(channels, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as the input."""
        y = F.relu(self.inner_norm(self.reduce(x)))
        y = F.relu(self.inner_norm(self.conv(y)))
        y = self.norm(self.expand(y))
        gate = self.fc2(F.relu(self.fc1(y.mean((2, 3, 4))))).sigmoid()
        return F.relu(y * gate[:, :, None, None, None] + self.residual(x))


class Refinement(nn.Module):
    """A gate for one sub-band (B, C, d, h, w), computed from it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(channels, channels, kernel=3, groups=channels)
        self.norm = InstanceNorm(channels)
        self.conv2 = Conv3d(channels, channels, kernel=1)

    def forward(self, band: Tensor) -> Tensor:
        """Same shape as the input."""
        gate: Tensor = self.conv2(F.relu(self.norm(self.conv1(band)))).sigmoid()
        return band * gate


class ProjectionUp(nn.Module):
    """Trilinear up-sampling, a depthwise convolution and projections, beside a residual.

    Args:
        channels: of the map.
        out_channels: of the result.
        factor: how many times larger it is.
        twice: the last projection has two layers, for larger reductions.
    """

    def __init__(self, channels: int, *, out_channels: int, factor: Triple, twice: bool) -> None:
        super().__init__()
        self.scale = [float(f) for f in factor]
        self.depthwise = Conv3d(channels, channels, kernel=3, groups=channels)
        self.norm = nn.GroupNorm(channels, channels)
        self.wide = Conv3d(channels, 2 * channels, kernel=1)
        widths = [2 * channels, channels, out_channels] if twice else [2 * channels, out_channels]
        self.narrow = nn.Sequential()
        for before, after in pairwise(widths):
            if len(self.narrow):
                self.narrow.append(nn.GELU())
            self.narrow.append(Conv3d(before, after, kernel=1))
        self.residual = Conv3d(channels, out_channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, d, h, w) to (B, out_channels, ...) of `factor` times the size."""
        x = F.interpolate(x, scale_factor=self.scale, mode="trilinear", align_corners=True)
        y = F.gelu(self.wide(self.norm(self.depthwise(x))))
        up: Tensor = self.narrow(y) + self.residual(x)
        return up


def joined(*maps: Tensor) -> Tensor:
    """Behind each other in the channels."""
    return torch.cat(maps, 1)
