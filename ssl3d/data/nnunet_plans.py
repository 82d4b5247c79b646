"""A plans file of nnU-Net: one of its configurations, with what it inherits. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl3d.plugin.shown import shown


@dataclass(frozen=True)
class Plans:
    """One configuration of a plans file.

    Attributes:
        file: it stands in.
        name: of the file and of the configuration, for messages.
        content: the whole file.
        configuration: what is planned, over what it inherits from.
        transpose: which axis of the images, as nnU-Net reads them, each planned axis is.
    """

    file: Path
    name: str
    content: Mapping[str, Any]
    configuration: Mapping[str, Any]
    transpose: tuple[int, ...]


def read_configuration(path: str | os.PathLike[str], *, name: str) -> Plans:
    """Read a configuration, such as 3d_fullres.

    Raises:
        ValueError: there is no such file or configuration.
    """
    file = Path(os.path.expanduser(path))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"plans: {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"plans: {file} is not readable as JSON: {error}") from error
    configurations = content.get("configurations") if isinstance(content, dict) else None
    if not isinstance(configurations, dict):
        raise ValueError(f"plans: {file} is no plans file of nnU-Net: it has no 'configurations'")
    found = _inherited(configurations, name, file=file)
    transpose = content.get("transpose_forward")
    return Plans(
        file,
        f"{file.name}, {name}",
        content,
        found,
        tuple(transpose) if isinstance(transpose, list) else (0, 1, 2),
    )


def _inherited(configurations: Mapping[str, Any], name: str, *, file: Path) -> dict[str, Any]:
    """A configuration over those that it inherits from."""
    chain: list[Mapping[str, Any]] = []
    at: Any = name
    while at is not None:
        if not isinstance(at, str) or not isinstance(configurations.get(at), dict):
            raise ValueError(
                f"plans: {file} has no configuration {shown(at)}. Allowed: "
                f"{', '.join(map(str, configurations))}"
            )
        if configurations[at] in chain:
            raise ValueError(f"plans: {file}: configuration {at!r} inherits from itself")
        chain.append(configurations[at])
        at = configurations[at].get("inherits_from")
    return {key: value for one in reversed(chain) for key, value in one.items()}
