"""Files that are written whole or not at all, and the user's cache folder. Imports no torch."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs


def cache_root() -> Path:
    """The user's cache folder for ssl3d: on Linux `$XDG_CACHE_HOME/ssl3d`, else `~/.cache/ssl3d`.

    `platformdirs` knows what other systems use.
    """
    return platformdirs.user_cache_path("ssl3d", appauthor=False)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to fill; it takes the place of `path` when the block ends.

    What is there is on the disk before it gets the name, so neither a crash nor a power cut leaves
    half a file, and no other process sees one. Where the block raises, `path` stays as it was. The
    file has the mode that the user's new files have (umask), whatever the writer gives it.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    unfinished.touch(exist_ok=False)
    mode = unfinished.stat().st_mode
    try:
        yield unfinished
        if unfinished.stat().st_mode != mode:  # not every file system can change it
            unfinished.chmod(mode)
        _to_disk(unfinished, os.O_RDWR)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    with suppress(OSError):  # Windows opens no folders, some network drives write none
        _to_disk(path.parent, os.O_RDONLY)


def _to_disk(path: Path, flags: int) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8. Bytes of a file name that are no UTF-8 become escapes, which JSON reads back."""
    with written_whole(path) as unfinished:
        unfinished.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write plain values; raises ValueError for NaN, which JSON does not know."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
