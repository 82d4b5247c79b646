"""What is installed: components with their options, and plugins that failed. For people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssl3d.component import ComponentConfig, Kind
from ssl3d.registry import installed


@dataclass(frozen=True)
class Option:
    """One option of a component."""

    name: str
    type: str
    default: Any
    bounds: str
    description: str


@dataclass(frozen=True)
class Component:
    """An installed component."""

    kind: Kind
    name: str
    description: str
    plugin: str
    distribution: str
    version: str
    options: tuple[Option, ...]


def components(kind: Kind | None = None) -> tuple[Component, ...]:
    """Every installed component, or those of one kind, sorted by kind and name."""
    return tuple(
        Component(
            kind=entry.config.kind,
            name=entry.config.component_name(),
            description=(entry.config.__doc__ or "").strip(),
            plugin=entry.plugin,
            distribution=entry.distribution,
            version=entry.version,
            options=_options(entry.config),
        )
        for entry in installed().entries(kind)
    )


def _options(config: type[ComponentConfig]) -> tuple[Option, ...]:
    return tuple(
        Option(
            name=name,
            type=_type_name(field.annotation),
            default="required" if field.is_required() else field.get_default(),
            bounds=", ".join(str(m) for m in field.metadata if hasattr(m, "__slots__")),
            description=field.description or "",
        )
        for name, field in config.model_fields.items()
        if name != "name"
    )


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
