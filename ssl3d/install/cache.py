"""Where built wheels are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from ssl3d.files import written_whole


def find_wheel(folder: Path) -> Path | None:
    """The wheel kept in `folder`, or None."""
    wheels = sorted(folder.glob("*.whl"))
    return wheels[0] if wheels else None


def keep_wheel(wheel: Path, *, folder: Path) -> Path:
    """Put `wheel` into `folder`, whole or not at all, and return its new path."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / wheel.name
    with written_whole(kept) as partial:
        shutil.copyfile(wheel, partial)
    return kept
