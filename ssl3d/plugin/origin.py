"""Where components come from, and what is installed in which version."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.registry import installed


def plugins_of(components: Iterable[ComponentConfig]) -> dict[str, str]:
    """`kind/name` of each component to the distribution and version it comes from."""
    return {f"{config.kind}/{config.name}": origin(config) for config in components}


def origin(config: ComponentConfig) -> str:
    """Distribution and version of a component, such as `ssl3d 0.1.0`."""
    entry = installed().entry(config.kind, name=config.name)
    return f"{entry.distribution} {entry.version}"


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None where it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
