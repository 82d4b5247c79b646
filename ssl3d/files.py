"""Files that are written whole or not at all, and the user's cache folder. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs


def cache_root() -> Path:
    """The user's cache folder for ssl3d: on Linux `$XDG_CACHE_HOME/ssl3d`, else `~/.cache/ssl3d`.

    `platformdirs` knows what other systems use.
    """
    return platformdirs.user_cache_path("ssl3d", appauthor=False)


A_DAY = 24 * 60 * 60
"""Seconds."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """An empty file beside `path` to fill; it takes the place of `path` when the block ends.

    What is there is on the disk before it gets the name, so neither a crash nor a power cut leaves
    half a file, and no other process sees one. Where the block raises, `path` stays as it was. The
    file has the mode that the user's new files have (umask), whatever the writer gives it.
    The unfinished file's name says who writes it: see `remove_left_behind`.
    """
    unfinished = _unfinished(path)
    unfinished.touch(exist_ok=False)
    mode = unfinished.stat().st_mode
    try:
        yield unfinished
        if unfinished.stat().st_mode != mode:  # not every file system can change it
            unfinished.chmod(mode)
        _to_disk(unfinished, os.O_RDWR)
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names none
    finally:
        unfinished.unlink(missing_ok=True)
    with suppress(OSError):  # Windows opens no folders, some network drives write none
        _to_disk(path.parent, os.O_RDONLY)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` for what it is made of, gone when the block ends.

    Like the file of `written_whole` its name says who uses it: see `remove_left_behind`.
    """
    folder = _unfinished(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _unfinished(path: Path) -> Path:
    """A name of its own beside `path`, which says which process of which machine uses it."""
    return path.with_name(f".{path.name}.{host_name()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def remove_left_behind(folder: Path, pattern: str) -> list[Path]:
    """Remove unfinished files and folders of writers that were killed; returns what was removed.

    Left behind is what a process of this machine wrote that is gone, and what nobody has written
    to for a day.

    Args:
        folder: where they are.
        pattern: glob of the names that they would have got.
    """
    removed = []
    for path in folder.glob(f".{pattern}.*.tmp"):
        with suppress(FileNotFoundError):  # its writer has just finished
            written = re.search(r"\.([\w-]+)-(\d+)-[0-9a-f]{8}\.tmp$", path.name)
            if written is None:  # somebody else's file
                continue
            gone = written[1] == host_name() and not is_running(int(written[2]))
            if gone or time.time() - path.stat().st_mtime > A_DAY:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.append(path)
    return removed


def host_name() -> str:
    """This machine's name, as part of a file's."""
    return re.sub(r"[^\w-]", "-", platform.node(), flags=re.ASCII)[:40] or "unknown"


def is_running(process: int) -> bool:
    """True where a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def sha256_of_start(file: BinaryIO, length: int) -> bytes:
    """SHA-256 of the first bytes of an open file, which is left behind them."""
    file.seek(0)
    digest = hashlib.sha256()
    while length > 0 and (block := file.read(min(length, 2**20))):
        digest.update(block)
        length -= len(block)
    return digest.digest()


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
