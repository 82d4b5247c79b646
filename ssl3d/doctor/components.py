"""Installed components with their default options."""

from __future__ import annotations

from typing import Any

from ssl3d.doctor.check import NotThere
from ssl3d.plugin.declared import Registered

REPORT = "report it to the authors with the output of: ssl3d doctor --json"


def default_config(entry: Registered) -> Any:
    """A component with its default options; raises NotThere where one has no default."""
    required = [option for option, f in entry.config.model_fields.items() if f.is_required()]
    if required:
        raise NotThere(
            f"not tried: no default for {', '.join(required)}",
            advice="nothing but default options is tried here: give these in a run",
        )
    return entry.config()  # type: ignore[call-arg]


def advice_for(entry: Registered) -> str:
    """Whom to ask about a component that does not work."""
    return (
        f"install {entry.distribution} again, in a version that fits; if that does not help, "
        f"{REPORT}"
    )
