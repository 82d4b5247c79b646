"""What is installed: components with their options, and plugins that failed. For people."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from ssl3d.plugin.declared import PluginFailure
from ssl3d.plugin.option import Option, all_options_of
from ssl3d.plugin.registry import UnknownComponentError, did_you_mean, installed


@dataclass(frozen=True)
class Component:
    """An installed component.

    Attributes:
        kind: backbone, sparse_backend, masker, views, decoder, loss or task.
        name: as specs write it.
        description: the docstring of its config.
        config: the typed config, as `module:class`.
        plugin: entry point that declares it.
        distribution: installed package that holds the plugin.
        version: of that package.
        options: in the order of their declaration, those of parts of it after its own.
    """

    kind: str
    name: str
    description: str
    config: str
    plugin: str
    distribution: str
    version: str
    options: tuple[Option, ...]

    @property
    def summary(self) -> str:
        """First line of the description."""
        return self.description.partition("\n")[0]


def components(kind: str | None = None, *, name: str | None = None) -> tuple[Component, ...]:
    """Every installed component, or those of one kind or name, sorted by kind and name.

    Raises:
        UnknownComponentError: no component has this name; the message lists those installed.
        DuplicateComponentError: two plugins declare one of this name.
    """
    found = tuple(
        Component(
            kind=entry.config.kind,
            name=entry.config.component_name(),
            description=inspect.cleandoc(entry.config.__doc__ or ""),
            config=f"{entry.config.__module__}:{entry.config.__qualname__}",
            plugin=entry.plugin,
            distribution=entry.distribution,
            version=entry.version,
            options=all_options_of(entry.config),
        )
        for entry in installed().entries(kind)
        if name in (None, entry.config.component_name())
    )
    if name is not None and not found:
        for one in installed().kinds() if kind is None else (kind,):
            installed().refuse_clash(one, name=name)
        names = sorted({entry.config.component_name() for entry in installed().entries(kind)})
        raise UnknownComponentError(
            f"unknown component {name!r}.{did_you_mean(name, names)} "
            f"Installed: {', '.join(names) or 'none'}.{installed().failure_note()}"
        )
    return found


def failures() -> tuple[PluginFailure, ...]:
    """Plugins that could not be loaded, and why."""
    return installed().failures


def clashes() -> tuple[str, ...]:
    """Names that several plugins claim, a line for each; specs cannot use them."""
    return installed().clashes
