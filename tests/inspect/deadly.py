"""Looks at files that end their process at one of them, or take long."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ssl3d.tasks.inspect.facts import Facts


def deadly_look(path: Path) -> Facts:
    """Says nothing of a file but its name."""
    if path.name == "deadly":
        os._exit(1)
    return Facts(str(path), bytes=7)


def slow_look(path: Path) -> Facts:
    """Takes a minute for each file but the first."""
    time.sleep(0 if path.name == "a" else 60)
    return Facts(str(path))
