"""nnU-Net's own residual U-Net, from its library, which is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ssl3d_plugins.resunet.nnunet_plans import NORMS


def residual_unet(
    architecture: Mapping[str, Any], *, in_channels: int, classes: int = 2
) -> nn.Module:
    """`ResidualEncoderUNet` as nnU-Net makes and initialises it.

    Args:
        architecture: `arch_kwargs` that `read_plans` or `architecture_of` gave.
        in_channels: of the volume.
        classes: of the segmentation layers, which no export holds.

    Raises:
        ImportError: nnU-Net's networks are not installed.
    """
    try:
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    except ImportError as error:
        raise ImportError(
            f"needs nnU-Net's networks, which cannot be imported here ({error}): "
            "pip install --no-deps dynamic-network-architectures==0.4.4"
        ) from error
    norms = {"instance": nn.InstanceNorm3d, "batch": nn.BatchNorm3d}
    objects = {
        "conv_op": nn.Conv3d,
        "norm_op": norms[NORMS[architecture["norm_op"]]],
        "nonlin": nn.LeakyReLU,
    }
    network: nn.Module = ResidualEncoderUNet(
        input_channels=in_channels, num_classes=classes, **{**architecture, **objects}
    )
    return network.apply(ResidualEncoderUNet.initialize)
