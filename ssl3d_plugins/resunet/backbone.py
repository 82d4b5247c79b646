"""nnU-Net's residual encoder as a backbone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ssl3d.kinds.backbone import Backbone
from ssl3d.sparse import FeatureMap
from ssl3d.sparse.layers import rising
from ssl3d.weights import TransferReport
from ssl3d_plugins.resunet.blocks import SLOPE, Norm, ResidualBlock, conv_norm, named
from ssl3d_plugins.resunet.config import ResUNet
from ssl3d_plugins.resunet.leaky_relu import LeakyReLU
from ssl3d_plugins.resunet.nnunet import from_nnunet
from ssl3d_plugins.resunet.plan import Plan


class ResidualEncoder(nn.Module):
    """Stem and stages of residual blocks; the stem keeps the resolution.

    Source: ResidualEncoder of dynamic_network_architectures 0.4.4, whose names it keeps.
    """

    def __init__(self, plan: Plan, *, norm: Norm, bias: bool, drop_path: float) -> None:
        super().__init__()
        stem = conv_norm(plan.stem, norm=norm, bias=bias)
        stem.add_module("nonlin", LeakyReLU(SLOPE))
        self.stem = named(convs=nn.Sequential(stem))
        self.stages = nn.Sequential()
        rates = iter(rising(drop_path, blocks=sum(map(len, plan.stages))))
        for blocks in plan.stages:
            stage = nn.Sequential(
                *(ResidualBlock(one, norm=norm, bias=bias, drop_path=next(rates)) for one in blocks)
            )
            self.stages.append(named(blocks=stage))

    def forward(self, x: FeatureMap) -> tuple[FeatureMap, ...]:
        """One feature map for each stage, fine to coarse."""
        x = self.stem(x)
        features: list[FeatureMap] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


def initialise(module: nn.Module) -> None:
    """nnU-Net's initialisation of one module, for `Module.apply`.

    Convolutions after He et al. 2015 for the leaky ReLU's slope, biases zero, and the last norm of
    each residual block zero, so that every block starts as its skip.
    """
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, ResidualBlock):
        last = module.conv2.get_submodule("norm")
        for parameter in last.parameters():
            nn.init.zeros_(parameter)


class ResUNetBackbone(Backbone):
    """The backbone; its state dict has the names of `ResidualEncoderUNet`'s, `encoder.…`."""

    def __init__(self, config: ResUNet, *, in_channels: int) -> None:
        super().__init__()
        self.stages = config.stages()
        self.in_channels = in_channels
        self.encoder = ResidualEncoder(
            config.plan(in_channels=in_channels),
            norm=config.norm,
            bias=config.bias,
            drop_path=config.drop_path,
        )
        self.apply(initialise)

    def forward(self, volume: FeatureMap) -> tuple[FeatureMap, ...]:
        """(B, C, D, H, W) or its visible cells to one feature map for each stage."""
        features: tuple[FeatureMap, ...] = self.encoder(volume)
        return features

    def load_weights(self, weights: Mapping[str, Tensor]) -> TransferReport:
        """As every backbone, and from nnU-Net's checkpoints, whose decoder is left out."""
        return from_nnunet(weights, backbone=self)
