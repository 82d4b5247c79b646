"""A prepared volume on disk, in chunks, so that a crop reads only the chunks that it touches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import blosc2
import numpy as np
from numpy.typing import NDArray

from ssl3d.data.cache_folder import note_use
from ssl3d.data.data_error import DataError
from ssl3d.data.preparation import Prepared

T = TypeVar("T")

TRIES = 5
"""How often a volume is prepared anew that other runs remove while it is read."""


class DiskVolume:
    """A prepared volume on disk. Holds no open file, so it may cross into worker processes.

    Args:
        path: of its file.
        again: writes the file anew where it was removed, to make room for others; it is called
            while the volume is read.
    """

    def __init__(self, path: Path, *, again: Callable[[], object]) -> None:
        self.path = path
        self._again = again

    @property
    def shape(self) -> tuple[int, ...]:
        return self._get(lambda array: tuple(array.shape))

    @property
    def points(self) -> NDArray[np.int32]:
        def get(array: blosc2.NDArray) -> tuple[bytes, int]:
            meta = array.schunk.vlmeta
            return meta["points"], meta["columns"]

        stored, columns = self._get(get)
        return np.frombuffer(stored, dtype=np.int32).reshape(-1, columns)

    @property
    def corner(self) -> tuple[int, int, int]:
        z, y, x = self._get(lambda array: array.schunk.vlmeta["corner"])
        return z, y, x

    def read(self, corner: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """Box (C, *size) from `corner` (z, y, x); it must lie inside the volume.

        Raises:
            DataError: the file is damaged.
            BadVolume: it was removed, and its source cannot be prepared any more.
        """
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        values: NDArray[np.float32] = self._get(lambda array: array[(slice(None), *box)])
        note_use(self.path)
        return values

    def load(self) -> Prepared:
        everything = self.shape[1:]
        values = self.read((0, 0, 0), everything)
        return Prepared(values=values, points=self.points, corner=self.corner)

    def _get(self, get: Callable[[blosc2.NDArray], T]) -> T:
        """What `get` takes out of the array, whose file other runs may remove and write anew."""
        for _ in range(TRIES):
            before = self._identity()
            try:
                # One thread: a thread pool would not survive the fork into a worker.
                return get(blosc2.open(str(self.path), mode="r", dparams={"nthreads": 1}))
            except (OSError, RuntimeError, ValueError) as error:
                if before is not None and self._identity() == before:
                    raise DataError(
                        f"data.cache: {str(self.path)!r} cannot be read any more: {error}. Go on "
                        "with the run (--resume): the volume is prepared anew then"
                    ) from error
            if self._identity() is None:
                self._again()
        raise DataError(
            f"data.cache: {str(self.path)!r} is removed again and again as soon as it is written: "
            "raise data.cache.disk, or give this run a data.cache.folder of its own"
        )

    def _identity(self) -> tuple[int, int] | None:
        """Which file is under the path; None for no file."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size
