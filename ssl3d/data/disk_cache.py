"""Prepared volumes in a folder: found, verified and written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO

from ssl3d.data.cache_folder import default_cache_folder, make_room, note_use, remove_unfinished
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.preparation import Prepared
from ssl3d.data.scan import files_of
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.volume_file import CHECKSUM, write_volume
from ssl3d.files import sha256_of_start, written_whole

logger = logging.getLogger(__name__)

FORMAT = 6
"""Of prepared volumes and of stores. To be raised when files are laid out otherwise, or volumes
prepared otherwise: older ones are not looked at then, and older stores refused."""


class DiskCache:
    """A folder of prepared volumes, keyed by the files' identity and how they are prepared.

    It is cut to `data.cache.disk` at once, and after each volume that is written.

    Args:
        spec: how they are prepared.
        kind: plain values that say what else they depend on.
    """

    def __init__(self, spec: DataSpec, *, kind: Any = None) -> None:
        self.folder = cache_folder(spec)
        self._kind = [] if kind is None else [kind]
        self._limit = None if spec.cache.disk is None else int(spec.cache.disk * 2**30)
        self._options = spec.model_dump(
            mode="json",
            include={
                "spacing": True,
                "valid_region": True,
                "normalise": True,
                "normalise_by_modality": True,
                "foreground": {"threshold", "margin"},
                "max_non_finite": True,
            },
        )
        self._make_room()

    def path(self, source: Source) -> Path:
        """Where the volume of `source` is or would be kept.

        Raises:
            BadVolume: a file is gone.
        """
        files = [part for one in source.files for part in _identity(one)]
        valid = None if source.valid is None else _identity(source.valid)
        about = [files, valid, source.modality, source.lacking]
        text = json.dumps([FORMAT, *about, self._options, *self._kind], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.b2nd"

    def find(self, path: Path, *, source: Source) -> bool:
        """True where the volume of `source` is kept under `path` and is what was written.

        It is read once for that. A damaged file is removed, and that is said by whoever removes it.
        """
        try:
            with path.open("rb") as file:
                if _intact(file):
                    note_use(path)
                    return True
                # Another process may have prepared it anew in the meantime.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    path.unlink()
        except FileNotFoundError:  # or another process was quicker to remove it
            return False
        except OSError as error:
            logger.warning("%s cannot be read or removed: %s", path, error.strerror)
            return False
        logger.warning("Preparing %s anew: %s is damaged", source.name, path)
        return False

    def write(self, path: Path, volume: Prepared) -> None:
        """Keep `volume` under `path`; another process never sees it half written.

        Where the folder grows beyond `data.cache.disk`, volumes go whose use is longest ago.

        Raises:
            DataError: the folder cannot be written, or the volume alone is too large for it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.folder)
            with written_whole(path) as part:
                write_volume(part, volume.values, volume=volume)
                self._check_size(part.stat().st_size)
            self._make_room(keep=path)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"data.cache.folder: cannot write to {str(self.folder)!r}: {error}. Free some "
                "space, name another folder, or raise data.cache.memory"
            ) from error

    def _make_room(self, *, keep: Path | None = None) -> None:
        if self._limit is not None:
            make_room(self.folder, limit=self._limit, keep=keep)

    def _check_size(self, nbytes: int) -> None:
        if self._limit is not None and nbytes > self._limit:
            raise DataError(
                f"data.cache.disk: a prepared volume takes {nbytes / 2**30:.3g} GiB, more than the "
                f"{self._limit / 2**30:.3g} GiB of all: raise it"
            )


def cache_folder(spec: DataSpec) -> Path:
    """Folder that the spec names, or ssl3d/volumes in the user's cache directory."""
    if spec.cache.folder is not None:
        return Path(spec.cache.folder).expanduser()
    return default_cache_folder()


def _identity(path: Path) -> list[Any]:
    """What changes when a file does."""
    found = []
    for file in files_of(path):
        try:
            stat = file.stat()
        except OSError as error:
            raise BadVolume(file.as_posix(), f"cannot be read: {error.strerror}") from error
        found.append([str(file.resolve()), stat.st_size, stat.st_mtime_ns])
    return found


def _intact(file: BinaryIO) -> bool:
    """True where the last bytes of a file are the checksum of those before."""
    digest = sha256_of_start(file, file.seek(0, os.SEEK_END) - CHECKSUM)
    return file.read() == digest
