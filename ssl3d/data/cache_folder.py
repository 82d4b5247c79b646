"""The folder of prepared volumes: how large it is, which were used last, and making room.

Several runs may share it. Any of them may remove any volume: one that is still needed is prepared
anew by whoever misses it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from os import utime
from pathlib import Path

from ssl3d.files import cache_root, remove_left_behind

NAME = re.compile(r"[0-9a-f]{32}\.b2nd")
"""Other files in the folder are not ours."""

FRESH = 60.0
"""Seconds for which a use is not noted again."""


@dataclass(frozen=True)
class CachedVolume:
    """A prepared volume on disk.

    Attributes:
        path: of its file.
        nbytes: that it takes.
        used: when it was used last, in seconds since the epoch: the file's time.
    """

    path: Path
    nbytes: int
    used: float


def default_cache_folder() -> Path:
    """ssl3d/volumes in the user's cache directory."""
    return cache_root() / "volumes"


def cached_volumes(folder: Path) -> list[CachedVolume]:
    """The volumes in a folder, the one first whose use is longest ago; none where it is not there.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in folder.iterdir() if folder.exists() else ():
        with suppress(FileNotFoundError):  # another process has just removed it
            if NAME.fullmatch(path.name):
                stat = path.stat()
                found.append(CachedVolume(path, stat.st_size, stat.st_mtime))
    return sorted(found, key=lambda volume: (volume.used, volume.path.name))


def note_use(path: Path) -> None:
    """Keep the time at which a volume is used, by its file's."""
    with suppress(OSError):  # removed meanwhile, or another user's: then its writing counts
        if time.time() - path.stat().st_mtime > FRESH:
            utime(path)


def make_room(folder: Path, *, limit: int, keep: Path | None = None) -> list[CachedVolume]:
    """Remove the volumes whose use is longest ago until the rest take `limit` bytes at most.

    Args:
        folder: of the volumes.
        limit: in bytes.
        keep: a volume that stays.

    Returns:
        The volumes that were removed.
    """
    volumes = cached_volumes(folder)
    over, removed = sum(volume.nbytes for volume in volumes) - limit, []
    for volume in volumes:
        if over <= 0:
            break
        if volume.path != keep:
            removed.append(volume)
            over -= volume.nbytes
    remove(removed)
    return removed


def remove(volumes: Iterable[CachedVolume]) -> None:
    """Remove volumes; another process may be quicker."""
    for volume in volumes:
        volume.path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes have left behind that were killed while they wrote a volume."""
    remove_left_behind(folder, "*.b2nd")
