"""One sample of a store: prepared, written, and noted as finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from nibabel.orientations import aff2axcodes

from ssl3d.data.compact import compact
from ssl3d.data.data_error import BadVolume, DataError, shown
from ssl3d.data.disk_cache import DiskCache
from ssl3d.data.preparation import Prepared, prepare
from ssl3d.data.read import check_source, target_grid
from ssl3d.data.scan import open_scan
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.manifest import FINISHED, VOLUMES, Entry
from ssl3d.data.volume_file import CHECKSUM, write_volume
from ssl3d.files import written_whole


class Filling:
    """A store that is being filled; crosses into worker processes.

    Args:
        store: its folder, with the folder of volumes in it.
        spec: by which it is filled.
        exact: True rounds no voxel.
    """

    def __init__(self, store: Path, *, spec: DataSpec, exact: bool) -> None:
        self.store = store
        self.spec = spec
        self._exact = exact
        cache = spec.cache.model_copy(update={"folder": str(store / VOLUMES), "disk": None})
        kind = ["store", "exact" if exact else "rounded"]
        self._names = DiskCache(spec.model_copy(update={"cache": cache}), kind=kind)

    def name(self, source: Source) -> str:
        """Name of the file of a sample's volume: another one when its files or options change.

        Raises:
            BadVolume: a file is gone.
        """
        return self._names.path(source).name

    def fill(self, source: Source) -> Entry:
        """Prepare a sample and write it; what is returned is noted in `finished.jsonl` as well.

        Raises:
            BadVolume: the sample cannot be used.
            DataError: the store cannot be written.
        """
        name = self.name(source)
        path = self.store / VOLUMES / name
        volume = prepare(source, spec=self.spec)
        # The largest part of the memory: the rest goes before it is asked for again.
        values = compact(volume, exact=self._exact)
        array, levels = (volume.values, None) if values is None else (values.codes, values.levels)
        try:
            with written_whole(path) as part:
                frame = write_volume(part, array, volume=volume, levels=levels)
                digest = _digest(part)
            if self.name(source) != name:
                path.unlink()
                raise BadVolume(source.name, "has changed while it was read")
            entry: Entry = {
                "file": name,
                "files": [str(file) for file in source.files],
                "frame": asdict(frame),
                "sha256": digest,
                "dtype": str(array.dtype),
                "rounding": 0.0 if values is None else values.rounding,
                **self._about(source, volume),
            }
            _append(self.store / FINISHED, entry)
        except BadVolume:
            raise
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"data.store: cannot write to {shown(self.store)}: {error}. Free some space, or "
                "name another folder; what is finished is kept"
            ) from error
        return entry

    def _about(self, source: Source, volume: Prepared) -> Entry:
        """Where the voxels lie, and what was done to them."""
        grid = target_grid(source, spacing=self.spec.spacing)
        x, y, z = map(float, grid.steps)
        return {
            "shape": list(volume.values.shape),
            "spacing": [z, y, x],
            "affine": grid.moved(volume.corner).affine.tolist(),
            "corner": list(volume.corner),
            "kept": volume.values[0].size / float(np.prod(grid.shape)),
            "done": list(self._done(source, volume)),
        }

    def _done(self, source: Source, volume: Prepared) -> Iterator[str]:
        scan, spec = open_scan(source.files[0]), self.spec
        how = spec.normalise_of(source.modality)
        yield f"turned from {''.join(aff2axcodes(scan.affine))} to RAS, axes z, y, x"
        if spec.spacing is not None:
            yield f"resampled to {' × '.join(f'{step:g}' for step in spec.spacing)} mm"
        for path, note in check_source(source, spacing=spec.spacing):
            yield f"{shown(path)} {note}"
        yield f"normalised: {json.dumps(how.model_dump(mode='json'))}"
        if spec.foreground.margin is not None:
            yield f"cut to its foreground and {spec.foreground.margin} voxels around it"
        invalid = int(np.isnan(volume.values).any(axis=0).sum())
        if invalid:
            yield f"{invalid} voxels are not valid"


def finished(store: Path) -> dict[str, Entry]:
    """The volumes that were ever finished and are still there, by the names of their files."""
    path = store / FINISHED
    entries = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            entry = json.loads(line)
            file = store / VOLUMES / entry["file"]
            if file.exists() and file.stat().st_size == entry["frame"]["nbytes"]:
                entries[entry["file"]] = entry
        except (ValueError, KeyError, TypeError):  # its writer was killed at it: not finished
            continue
    return entries


def _append(path: Path, entry: Entry) -> None:
    # One write to a file opened for appending: lines of several processes do not mix. The line
    # before may be half of one.
    line = b"\n" + json.dumps(entry).encode() + b"\n"
    handle = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    """SHA-256 of a volume's file without its own."""
    content = path.read_bytes()[:-CHECKSUM]
    return hashlib.sha256(content).hexdigest()
