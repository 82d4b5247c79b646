"""Backbone `monai`: MONAI's dense encoders on visible cells. Importing this loads no torch."""

from __future__ import annotations

from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.monai_encoders.config import Monai
from ssl3d_plugins.monai_encoders.resnet_options import ResNet
from ssl3d_plugins.monai_encoders.segresnet_options import SegResNet

__all__ = ["Monai", "ResNet", "SegResNet", "ssl3d_components"]


@hookimpl
def ssl3d_components() -> tuple[type[Monai]]:
    """The components of this plugin."""
    return (Monai,)
