"""Decoders: from the stages of a backbone to the restored volume. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.decoders.spark_config import Spark

__all__ = ["Spark"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The decoders of this plugin."""
    return (Spark,)
