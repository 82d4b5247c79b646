"""MONAI's networks without their decoders and heads, which would have no gradient."""

from __future__ import annotations

from monai.networks.nets import resnet, segresnet
from torch import Tensor

from ssl3d_plugins.monai_encoders.resnet_options import ResNet
from ssl3d_plugins.monai_encoders.segresnet_options import SegResNet


class SegResNetEncoder(segresnet.SegResNet):
    """`SegResNet.encode`; its state dict is the encoder's part of SegResNet's."""

    def __init__(self, options: SegResNet, *, in_channels: int) -> None:
        super().__init__(**options.arguments(in_channels=in_channels), blocks_up=())
        del self.conv_final, self.act_mod

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """One feature map for each entry of `blocks_down`."""
        return tuple(self.encode(x)[1])


class ResNetEncoder(resnet.ResNet):
    """`ResNet` up to its fourth layer; its state dict is ResNet's without the head."""

    def __init__(self, options: ResNet, *, in_channels: int) -> None:
        super().__init__(**options.arguments(in_channels=in_channels), feed_forward=False)
        del self.avgpool

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """The stem's map, unless the first layer has its stride, and those of the layers."""
        x = self.act(self.bn1(self.conv1(x)))
        features = []
        if not self.no_max_pool:
            features.append(x)
            x = self.maxpool(x)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return tuple(features)
