"""Prepared volumes of a run: in memory up to a bound, on disk beyond it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.data_error import BadVolume
from ssl3d.data.disk import DiskVolume
from ssl3d.data.disk_cache import DiskCache
from ssl3d.data.preparation import Prepared, prepare
from ssl3d.data.read import target_grid
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryVolume:
    """A prepared volume in memory; reads like one on disk."""

    prepared: Prepared

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prepared.values.shape

    @property
    def points(self) -> NDArray[np.int32]:
        return self.prepared.points

    @property
    def corner(self) -> tuple[int, int, int]:
        return self.prepared.corner

    def read(self, corner: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
        """Box (C, *size) from `corner` (z, y, x); it must lie inside the volume."""
        box = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        return self.prepared.values[(slice(None), *box)]


class VolumeStore:
    """Gives the prepared volume of a source, preparing it at most once per process.

    What comes first stays in memory until the bound is reached; the rest goes to disk. Nothing is
    evicted: every volume is asked for equally often, so swapping would only cost time.

    Args:
        spec: how to prepare and where to keep.
        share: processes that share `spec.cache.memory`, this one among them.
        make: prepares a source; none: `prepare` by the spec.
        kind: plain values that say what `make` depends on beside the spec.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        share: int = 1,
        make: Callable[[Source], Prepared] | None = None,
        kind: Any = None,
    ) -> None:
        self._make = partial(prepare, spec=spec) if make is None else make
        self._target = spec.spacing
        self._bound = int(spec.cache.memory * 2**30) // share
        self._disk = DiskCache(spec, kind=kind)
        self._memory: dict[Source, MemoryVolume] = {}
        self._on_disk: dict[Source, DiskVolume] = {}
        self._bad: dict[Source, BadVolume] = {}
        self._spacings: dict[Source, tuple[float, float, float]] = {}
        self._said = False
        self.nbytes = 0

    def volume(self, source: Source) -> MemoryVolume | DiskVolume:
        """Prepared volume of `source`.

        Raises:
            BadVolume: the source cannot be used; raised again at once when asked again.
        """
        if source in self._memory:
            return self._memory[source]
        if source in self._on_disk:
            return self._on_disk[source]
        if source in self._bad:
            raise self._bad[source].with_traceback(None)
        try:
            return self._first_time(source)
        except BadVolume as error:
            self._bad[source] = error
            raise

    def spacing(self, source: Source) -> tuple[float, float, float]:
        """Of the prepared volume, in mm (z, y, x), by the headers of its files.

        Raises:
            BadVolume: the source cannot be used.
        """
        if source not in self._spacings:
            x, y, z = map(float, target_grid(source, spacing=self._target).steps)
            self._spacings[source] = (z, y, x)
        return self._spacings[source]

    def _first_time(self, source: Source) -> MemoryVolume | DiskVolume:
        path = self._disk.path(source)
        stored = None
        if self._disk.find(path, source=source):
            stored = self._on(path, source=source)
        if stored is None:
            prepared = self._make(source)
        elif self.nbytes + 4 * int(np.prod(stored.shape)) <= self._bound:
            prepared = stored.load()
        else:
            prepared = None
        if prepared is not None and self.nbytes + prepared.nbytes <= self._bound:
            self.nbytes += prepared.nbytes
            self._memory[source] = MemoryVolume(prepared)
            return self._memory[source]
        if stored is None:
            assert prepared is not None
            self._disk.write(path, prepared)
            stored = self._on(path, source=source)
        self._on_disk[source] = stored
        return stored

    def _on(self, path: Path, *, source: Source) -> DiskVolume:
        return DiskVolume(path, again=partial(self._write_again, path, source=source))

    def _write_again(self, path: Path, *, source: Source) -> None:
        """Prepare anew what was removed since; raises BadVolume where the files are others now."""
        if self._disk.path(source) != path:
            raise BadVolume(source.name, "has changed since this run began to read it")
        if not self._said:
            self._said = True
            logger.warning(
                "Preparing %s anew: it was removed from %s, where room was made or the cache was "
                "cleared. Others may follow without a word: where training waits for data, raise "
                "data.cache.disk",
                source.name,
                path.parent,
            )
        self._disk.write(path, self._make(source))
