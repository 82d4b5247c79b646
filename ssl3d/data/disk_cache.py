"""Prepared volumes in a folder: found, verified and written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO

import blosc2
import numpy as np

from ssl3d.data.cache_folder import default_cache_folder, make_room, note_use, remove_unfinished
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import Source
from ssl3d.data.preparation import Prepared
from ssl3d.data.scan import files_of
from ssl3d.data.spec import DataSpec
from ssl3d.files import sha256_of_start, written_whole

logger = logging.getLogger(__name__)

# Measured on 320³ float32, 96³ crops: 64/16 read fastest (5.6 ms) of 32-96 chunks, 16-32 blocks.
CHUNK_EDGE, BLOCK_EDGE = 64, 16

FORMAT = 3
"""To be raised when files are laid out otherwise, or volumes prepared otherwise: older ones are
not looked at then."""

CHECKSUM = 32
"""Bytes of SHA-256 after the array: a damaged file is found out before the library opens it."""


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
                "normalise": True,
                "foreground": {"threshold"},
                "max_non_finite": True,
            },
        )
        self._make_room()

    def path(self, source: Source) -> Path:
        """Where the volume of `source` is or would be kept.

        Raises:
            BadVolume: a file is gone.
        """
        identity = []
        for file in (part for one in source.files for part in files_of(one)):
            try:
                stat = file.stat()
            except OSError as error:
                raise BadVolume(file.as_posix(), f"cannot be read: {error.strerror}") from error
            identity.append([str(file.resolve()), stat.st_size, stat.st_mtime_ns])
        text = json.dumps([FORMAT, identity, self._options, *self._kind], sort_keys=True)
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
        shape = volume.values.shape
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(self.folder)
            with written_whole(path) as part:
                array = blosc2.asarray(
                    np.ascontiguousarray(volume.values),
                    chunks=(1, *(min(CHUNK_EDGE, edge) for edge in shape[1:])),
                    blocks=(1, *(min(BLOCK_EDGE, edge) for edge in shape[1:])),
                    urlpath=str(part),
                    mode="w",
                    cparams={"codec": blosc2.Codec.LZ4, "clevel": 1, "nthreads": 1},
                )
                array.schunk.vlmeta["points"] = volume.points.tobytes()
                array.schunk.vlmeta["columns"] = volume.points.shape[1]
                del array
                with part.open("r+b") as file:
                    file.write(hashlib.file_digest(file, "sha256").digest())
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


def _intact(file: BinaryIO) -> bool:
    """True where the last bytes of a file are the checksum of those before."""
    digest = sha256_of_start(file, file.seek(0, os.SEEK_END) - CHECKSUM)
    return file.read() == digest
