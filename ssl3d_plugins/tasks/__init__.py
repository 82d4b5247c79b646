"""Downstream tasks: what a pre-trained encoder is fine-tuned for. Loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.tasks.classification_config import Classification
from ssl3d_plugins.tasks.regression_config import Regression
from ssl3d_plugins.tasks.segmentation_config import Segmentation

__all__ = ["Classification", "Regression", "Segmentation"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The tasks of this plugin."""
    return (Segmentation, Classification, Regression)
