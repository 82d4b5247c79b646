"""Decoders: from the stages of a backbone to a volume. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.decoders.patch_config import Patch
from ssl3d_plugins.decoders.spark_config import Spark
from ssl3d_plugins.decoders.unet_config import UNet

__all__ = ["Patch", "Spark", "UNet"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The decoders of this plugin."""
    return (Spark, UNet, Patch)
