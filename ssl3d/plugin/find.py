"""Find and load plugins: the entry-point group `ssl3d`, one hook that declares components."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pluggy

from ssl3d.plugin.config import ComponentConfig

GROUP = "ssl3d"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Hooks:
    """What a plugin may implement."""

    @hookspec
    def ssl3d_components(self) -> Iterable[type[ComponentConfig]]:  # type: ignore[empty-body]
        """Declare the config classes of this plugin's components; change nothing."""


@dataclass(frozen=True)
class Registered:
    """A component and where it comes from."""

    config: type[ComponentConfig]
    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that could not be loaded, and why. The others still work."""

    plugin: str
    distribution: str
    error: str


def _declared(
    point: importlib.metadata.EntryPoint, manager: pluggy.PluginManager
) -> list[type[ComponentConfig]]:
    """Import one plugin, register it with pluggy and ask it for its components."""
    module = point.load()
    plugin = manager.register(module, name=point.name)
    implementations = [
        implementation
        for implementation in manager.hook.ssl3d_components.get_hookimpls()
        if implementation.plugin_name == plugin
    ]
    if not implementations:
        raise TypeError(f"{point.value} has no @hookimpl function ssl3d_components()")
    configs: list[type[ComponentConfig]] = []
    for implementation in implementations:
        declare: Any = implementation.function
        configs += declare()
    for config in configs:
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            raise TypeError(
                f"ssl3d_components() gave {config!r}, which is no ComponentConfig class"
            )
        if not isinstance(config.model_fields["name"].default, str):
            raise TypeError(f"{config.__name__} has no default name: add name: Literal[...] = ...")
        if getattr(config, "__abstractmethods__", None):
            missing = ", ".join(sorted(config.__abstractmethods__))
            raise TypeError(f"{config.__name__} lacks {missing}")
    return configs


def load_plugins(
    points: Iterable[importlib.metadata.EntryPoint] | None = None,
) -> tuple[tuple[Registered, ...], tuple[PluginFailure, ...]]:
    """Load every plugin of the group; a plugin that fails is reported, not raised.

    Args:
        points: entry points to load; by default those of every installed distribution.

    Returns:
        The declared components in the order of the plugins' names, and the failures.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    if points is None:
        points = importlib.metadata.entry_points(group=GROUP)
    components: list[Registered] = []
    failures: list[PluginFailure] = []
    for point in sorted(points, key=lambda p: p.name):
        source = point.dist.name if point.dist else "unknown distribution"
        version = point.dist.version if point.dist else "unknown"
        try:
            configs = _declared(point, manager)
        except Exception as error:  # whatever a stranger's import may raise
            failures.append(PluginFailure(point.name, source, f"{type(error).__name__}: {error}"))
            continue
        components += [Registered(config, point.name, source, version) for config in configs]
    return tuple(components), tuple(failures)
