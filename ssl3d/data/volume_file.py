"""How a prepared volume lies in a file: one chunked, compressed array of blosc2, what belongs to it
beside its voxels, and checksums. Caches and stores are made of these.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.preparation import Prepared

# Measured on 320³ float32, 96³ crops: 64/16 read fastest (5.6 ms) of 32-96 chunks, 16-32 blocks.
CHUNK_EDGE, BLOCK_EDGE = 64, 16

CHECKSUM = 32
"""Bytes of SHA-256 after the array: a damaged file is found out before the library opens it."""

HEADER = 2**14
"""Bytes before the first chunk, at most."""


@dataclass(frozen=True)
class Frame:
    """What of a file is not chunks, so that it can be verified without reading them.

    Attributes:
        start: byte where the chunks begin.
        stop: byte where they end.
        nbytes: of the whole file.
        crc: CRC-32 of what lies before and behind the chunks.
    """

    start: int
    stop: int
    nbytes: int
    crc: int

    @classmethod
    def of(cls, path: Path, *, start: int, stop: int) -> Frame:
        """As it is on the disk."""
        with path.open("rb") as file:
            crc = zlib.crc32(file.read(start))
            file.seek(stop)
            return cls(start, stop, path.stat().st_size, zlib.crc32(file.read(), crc))


def write_volume(
    path: Path, array: NDArray[Any], *, volume: Prepared, levels: NDArray[np.float32] | None = None
) -> Frame:
    """Write a prepared volume.

    Each chunk has a CRC-32 of its own, so that a crop can be verified without the rest.

    Args:
        path: of an empty file.
        array: (C, z, y, x), the voxels, or places in `levels`.
        volume: what belongs to them.
        levels: (n,), where the array holds places.

    Raises:
        OSError, RuntimeError: the disk is full, or will not take it.
    """
    edges = array.shape[1:]
    stored = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=(1, *(min(CHUNK_EDGE, edge) for edge in edges)),
        blocks=(1, *(min(BLOCK_EDGE, edge) for edge in edges)),
        urlpath=str(path),
        mode="w",
        cparams={"codec": blosc2.Codec.LZ4, "clevel": 1, "nthreads": 1},
    )
    meta = stored.schunk.vlmeta
    meta["points"] = volume.points.tobytes()
    meta["columns"] = volume.points.shape[1]
    meta["corner"] = list(volume.corner)
    meta["crc"] = np.array([*map(zlib.crc32, _chunks(stored))], dtype=np.uint32).tobytes()
    if levels is not None:
        meta["levels"] = levels.tobytes()
    del stored, meta
    with path.open("r+b") as file:
        file.write(hashlib.file_digest(file, "sha256").digest())
    start, stop = _span(path)
    return Frame.of(path, start=start, stop=stop)


def _chunks(array: blosc2.NDArray) -> Iterator[bytes]:
    """As they are compressed."""
    for number in range(array.schunk.nchunks):  # holds the array, on which its chunks depend
        yield array.schunk.get_chunk(number)


def _span(path: Path) -> tuple[int, int]:
    """Where the chunks of a file lie. Chunks of one value are not among them: the index says so."""
    start = stop = 0
    with path.open("rb") as file:
        for chunk in _chunks(blosc2.open(str(path), mode="r")):
            file.seek(stop)
            place = file.read(len(chunk) + (0 if stop else HEADER)).find(chunk)
            if place >= 0:
                start, stop = start or place, stop + place + len(chunk)
    return start, stop
