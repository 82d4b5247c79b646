"""Installed components with their default options."""

from __future__ import annotations

from ssl3d.doctor.check import NotThere
from ssl3d.plugin.config import ComponentConfig
from ssl3d.plugin.find import Registered
from ssl3d.plugin.registry import Registry

REPORT = "report it to the authors with the output of: ssl3d doctor --json"


def default_config(registry: Registry, *, kind: str, name: str) -> ComponentConfig:
    """A component with its default options; raises NotThere where one has no default."""
    config = registry.config(kind, name=name)
    required = [option for option, field in config.model_fields.items() if field.is_required()]
    if required:
        raise NotThere(
            f"not tried: no default for {', '.join(required)}",
            advice="nothing but default options is tried here: give these in a run",
        )
    return config()  # type: ignore[call-arg]


def advice_for(entry: Registered) -> str:
    """Whom to ask about a component that does not work."""
    return (
        f"install {entry.distribution} again, in a version that fits; if that does not help, "
        f"{REPORT}"
    )
