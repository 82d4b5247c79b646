"""Names of files as BIDS has them: entities, then a suffix.

Source: the Brain Imaging Data Structure 1.9, "Common principles", File name template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl3d.data.volume_path import stem

DERIVATIVES = "derivatives"
"""Folder of what was computed from other files of a data set."""

_NAME = re.compile(r"(?P<entities>sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9+]+)*)_(?P<end>[A-Za-z0-9]+)")


@dataclass(frozen=True)
class BidsName:
    """A name.

    Attributes:
        entities: such as {"sub": "01", "ses": "1", "run": "2"}.
        suffix: such as T1w.
        root: the folder of the data set, which holds that of the subject.
    """

    entities: Mapping[str, str]
    suffix: str
    root: Path

    def of(self, entity: str) -> str:
        """Such as "sub-01"; "" where the name has no such entity."""
        return f"{entity}-{self.entities[entity]}" if entity in self.entities else ""


def bids_name(path: Path) -> BidsName | None:
    """The parts of a name; None where it is none of BIDS."""
    match = _NAME.fullmatch(stem(path))
    if match is None:
        return None
    pairs = (entity.partition("-") for entity in match["entities"].split("_"))
    entities = {key: value for key, _, value in pairs}
    subject = f"sub-{entities['sub']}"
    root = next((one.parent for one in path.parents if one.name == subject), path.parent)
    if DERIVATIVES in root.parts:
        root = Path(*root.parts[: root.parts.index(DERIVATIVES)])
    return BidsName(entities, match["end"], root)


def sidecar(path: Path) -> dict[str, Any]:
    """The JSON file that describes a volume beside it; empty where there is none."""
    try:
        content = json.loads((path.parent / f"{stem(path)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or none of BIDS: the name says enough
        return {}
    return content if isinstance(content, dict) else {}
