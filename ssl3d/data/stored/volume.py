"""A volume of a store, read chunk by chunk. Nothing is written, so the store may be read-only."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.compact import expand
from ssl3d.data.data_error import BadVolume, shown
from ssl3d.data.volume_file import Frame


class StoredVolume:
    """A volume of a store. Holds no open file, so it may cross into worker processes.

    Each process verifies a chunk when it reads it first, and before that what is not chunks, which
    the library would follow blindly.

    Args:
        path: of its file.
        frame: of the file.
        name: of the sample.
    """

    def __init__(self, path: Path, *, frame: Frame, name: str) -> None:
        self.path = path
        self._frame = frame
        self._name = name
        self._verified: set[int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        with self._reading():
            return tuple(self._open().shape)

    @property
    def points(self) -> NDArray[np.int32]:
        with self._reading():
            array = self._open()
            meta = array.schunk.vlmeta
            return np.frombuffer(meta["points"], dtype=np.int32).reshape(-1, meta["columns"])

    @property
    def corner(self) -> tuple[int, int, int]:
        with self._reading():
            array = self._open()
            z, y, x = array.schunk.vlmeta["corner"]
            return z, y, x

    def read(self, corner: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """Box (C, *size) from `corner` (z, y, x); it must lie inside the volume.

        Raises:
            BadVolume: a chunk is damaged, or the file is gone.
        """
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        with self._reading():
            array = self._open()
            self._verify(array, box)
            values = array[(slice(None), *box)]
            levels = array.schunk.vlmeta.get("levels")
        if levels is None:
            return np.asarray(values, dtype=np.float32)
        return expand(values, np.frombuffer(levels, dtype=np.float32))

    def check(self) -> None:
        """Verify every chunk; raises BadVolume."""
        with self._reading():
            array = self._open()
            self._verify(array, tuple(slice(0, edge) for edge in array.shape[1:]))

    def _open(self) -> blosc2.NDArray:
        if self._verified is None:
            frame = self._frame
            if Frame.of(self.path, start=frame.start, stop=frame.stop) != frame:
                raise ValueError("its header or index is damaged")
            self._verified = set()
        # One thread: a thread pool would not survive the fork into a worker.
        return blosc2.open(str(self.path), mode="r", dparams={"nthreads": 1})

    def _verify(self, array: blosc2.NDArray, box: tuple[slice, ...]) -> None:
        assert self._verified is not None
        new = [chunk for chunk in _chunks(array, box) if chunk not in self._verified]
        if not new:
            return
        known = np.frombuffer(array.schunk.vlmeta["crc"], dtype=np.uint32)
        for chunk in new:
            if zlib.crc32(array.schunk.get_chunk(chunk)) != known[chunk]:
                raise ValueError(f"chunk {chunk} of {len(known)} is damaged")
            self._verified.add(chunk)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise BadVolume(
                self._name,
                f"its volume in the store, {shown(self.path)}, cannot be used: {reason}. Remove "
                "it and fill the store again (ssl3d prepare); --verify names all that is damaged",
            ) from error


def _chunks(array: Any, box: tuple[slice, ...]) -> Iterator[int]:
    """Numbers of the chunks that a box of all channels touches."""
    grid = [-(-edge // chunk) for edge, chunk in zip(array.shape, array.chunks, strict=True)]
    ranges = [range(grid[0])]
    for part, chunk in zip(box, array.chunks[1:], strict=True):
        ranges.append(range(part.start // chunk, -(-part.stop // chunk)))
    for place in itertools.product(*ranges):
        yield int(np.ravel_multi_index(place, grid))
