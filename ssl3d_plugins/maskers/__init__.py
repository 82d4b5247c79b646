"""Maskers: which cells are hidden. Importing this loads no torch."""

from __future__ import annotations

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.hooks import hookimpl
from ssl3d_plugins.maskers.mim_config import MiM
from ssl3d_plugins.maskers.random_config import Random

__all__ = ["MiM", "Random"]


@hookimpl
def ssl3d_components() -> tuple[type[ComponentConfig], ...]:
    """The maskers of this plugin."""
    return (Random, MiM)
