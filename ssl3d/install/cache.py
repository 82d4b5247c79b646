"""Where built wheels are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def cache_root() -> Path:
    """The user's cache folder for ssl3d: `$XDG_CACHE_HOME/ssl3d`, else `~/.cache/ssl3d`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ssl3d"


def find_wheel(folder: Path) -> Path | None:
    """The wheel kept in `folder`, or None."""
    wheels = sorted(folder.glob("*.whl"))
    return wheels[0] if wheels else None


def keep_wheel(wheel: Path, *, folder: Path) -> Path:
    """Put `wheel` into `folder`, whole or not at all, and return its new path."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / wheel.name
    partial = kept.with_suffix(".partial")
    shutil.copyfile(wheel, partial)
    partial.replace(kept)
    return kept
