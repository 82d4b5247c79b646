"""The parts of nnU-Net's residual encoder. Modules are named as nnU-Net names them.

Source: BasicBlockD of dynamic_network_architectures 0.4.4, after ResNet-D (He et al. 2019,
arXiv 1812.01187, section 4.2): a strided skip averages before it projects.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from ssl3d.geometry import Operation
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import AvgPool3d, Conv3d, DropPath, make_norm
from ssl3d_plugins.resunet.leaky_relu import LeakyReLU
from ssl3d_plugins.resunet.plan import BlockPlan

SLOPE = 0.01
Norm = Literal["instance", "batch"]


def named(**modules: nn.Module) -> nn.Sequential:
    """A sequence whose parts have names."""
    return nn.Sequential(OrderedDict(modules))


def conv_norm(op: Operation, *, norm: Norm, bias: bool) -> nn.Sequential:
    """Convolution and norm, without an activation."""
    return named(conv=Conv3d.of(op, bias=bias), norm=make_norm(norm, op.channels[1]))


class ResidualBlock(nn.Module):
    """conv - norm - leaky ReLU - conv - norm, plus the skip, then leaky ReLU.

    The first convolution is strided. The skip is the input, averaged over the stride where there
    is one, and projected (1³ convolution without bias, and norm) where the channels change. In
    training a sample may go without the branch.
    """

    def __init__(self, plan: BlockPlan, *, norm: Norm, bias: bool, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = DropPath(drop_path)
        self.conv1 = conv_norm(plan.conv1, norm=norm, bias=bias)
        self.conv1.add_module("nonlin", LeakyReLU(SLOPE))
        self.conv2 = conv_norm(plan.conv2, norm=norm, bias=bias)
        self.nonlin2 = LeakyReLU(SLOPE)
        self.skip = nn.Sequential()
        if plan.average is not None:
            self.skip.append(AvgPool3d.of(plan.average))
        if plan.project is not None:
            self.skip.append(conv_norm(plan.project, norm=norm, bias=False))

    def forward(self, x: FeatureMap) -> FeatureMap:
        """(B, I, D, H, W) or its visible cells to `out_channels` at `stride` times the stride."""
        branch = self.drop_path(self.conv2(self.conv1(x)))
        restored: FeatureMap = self.nonlin2(branch + self.skip(x))
        return restored
