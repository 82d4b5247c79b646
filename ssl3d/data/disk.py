"""Prepared volumes on disk, in chunks, so that a crop reads only the chunks that it touches."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import blosc2
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.files import Source
from ssl3d.data.preparation import Prepared
from ssl3d.data.scan import files_of
from ssl3d.data.spec import DataSpec
from ssl3d.files import cache_root, written_whole

logger = logging.getLogger(__name__)

# Measured on 320³ float32, 96³ crops: 64/16 read fastest (5.6 ms) of 32-96 chunks, 16-32 blocks.
CHUNK_EDGE, BLOCK_EDGE = 64, 16

FORMAT = 3
"""To be raised when files are laid out otherwise, or volumes prepared otherwise: older ones are
not looked at then."""

CHECKSUM = 32
"""Bytes of SHA-256 after the array: a damaged file is found out before the library opens it."""


class DiskVolume:
    """A prepared volume on disk. Holds no open file, so it may cross into worker processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._open().shape)

    @property
    def points(self) -> NDArray[np.int32]:
        array = self._open()  # its metadata lives no longer than it does
        with self._readable():
            meta = array.schunk.vlmeta
            stored, columns = meta["points"], meta.get("columns", 3)
        return np.frombuffer(stored, dtype=np.int32).reshape(-1, columns)

    def read(self, corner: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """Box (C, *size) from `corner` (z, y, x); it must lie inside the volume."""
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        array = self._open()
        with self._readable():
            values: NDArray[np.float32] = array[(slice(None), *box)]
        return values

    def load(self) -> Prepared:
        everything = self.shape[1:]
        return Prepared(values=self.read((0, 0, 0), everything), points=self.points)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Name the file where it was removed or damaged since it was first opened."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"data.cache: {str(self.path)!r} cannot be read any more: {error}. Go on with the "
                "run (--resume): the volume is prepared anew then"
            ) from error

    def _open(self) -> blosc2.NDArray:
        # One thread: a thread pool would not survive the fork into a worker.
        with self._readable():
            return blosc2.open(str(self.path), mode="r", dparams={"nthreads": 1})


class DiskCache:
    """A folder of prepared volumes, keyed by the files' identity and how they are prepared.

    Args:
        spec: how they are prepared.
        kind: plain values that say what else they depend on.
    """

    def __init__(self, spec: DataSpec, *, kind: Any = None) -> None:
        self.folder = cache_folder(spec)
        self._kind = [] if kind is None else [kind]
        self._options = spec.model_dump(
            mode="json",
            include={
                "spacing": True,
                "normalise": True,
                "foreground": {"threshold"},
                "max_non_finite": True,
            },
        )

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

    def find(self, path: Path, *, source: Source) -> DiskVolume | None:
        """The volume of `source`, where it is kept under `path` and is what was written.

        It is read once for that. A damaged file is removed, and that is said by whoever removes it.
        """
        try:
            with path.open("rb") as file:
                if _intact(file):
                    return DiskVolume(path)
                # Another process may have prepared it anew in the meantime.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    path.unlink()
        except FileNotFoundError:  # or another process was quicker to remove it
            return None
        except OSError as error:
            logger.warning("%s cannot be read or removed: %s", path, error.strerror)
            return None
        logger.warning("Preparing %s anew: %s is damaged", source.name, path)
        return None

    def write(self, path: Path, volume: Prepared) -> DiskVolume:
        """Keep `volume` under `path`; another process never sees it half written.

        Raises:
            DataError: the folder cannot be written.
        """
        shape = volume.values.shape
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
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
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"data.cache.folder: cannot write to {str(self.folder)!r}: {error}. Free some "
                "space, name another folder, or raise data.cache.memory"
            ) from error
        return DiskVolume(path)


def cache_folder(spec: DataSpec) -> Path:
    """Folder that the spec names, or ssl3d/volumes in the user's cache directory."""
    if spec.cache.folder is not None:
        return Path(spec.cache.folder).expanduser()
    return cache_root() / "volumes"


def _intact(file: BinaryIO) -> bool:
    """True where the last bytes of a file are the checksum of those before."""
    left = file.seek(0, os.SEEK_END) - CHECKSUM
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0:
        digest.update(block := file.read(min(left, 2**20)))
        left -= len(block)
    return file.read() == digest.digest()
