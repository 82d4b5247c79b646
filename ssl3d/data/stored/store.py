"""The volumes of a run, from a store."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl3d.data.bad import BadFileRecord
from ssl3d.data.data_error import BadVolume, DataWarning, shown
from ssl3d.data.found import Found, policy_of
from ssl3d.data.sizes import Grid
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.manifest import VOLUMES, Entry, Manifest
from ssl3d.data.stored.options import check_options
from ssl3d.data.stored.volume import StoredVolume
from ssl3d.data.volume_file import Frame


class PreparedStore:
    """What `ssl3d prepare` wrote, as the files and volumes of a run. Nothing in it is written to.

    Args:
        spec: of the run.
        folder: where relative paths of the spec start from.

    Raises:
        DataError: there is no such store, or it was filled by another spec.
    """

    def __init__(self, spec: DataSpec, *, folder: Path) -> None:
        assert spec.store is not None
        self.folder = folder / Path(spec.store).expanduser()
        self._spec = spec
        self._manifest = Manifest.read(self.folder)
        check_options(spec, dict(self._manifest.options), folder=folder)
        self._samples = {sample.source: sample for sample in self._manifest.samples}
        self._open: dict[Source, StoredVolume] = {}

    def found(self, *, record: BadFileRecord) -> Found:
        """The samples of the store, those that cannot be used among them: so the split and the
        order of crops are those of the files.

        Raises:
            DataError: too many bad files, or a bad file that shall stop the run.
        """
        samples, unusable = self._manifest.samples, self._manifest.unusable
        policy = policy_of(self._spec, record=record, total=len(samples) + len(unusable))
        for name, problem in unusable.items():
            policy.handle(_bad(name, problem), source=Source((Path(name),)))
        rounded = [s.volume["rounding"] for s in samples if s.volume and s.volume["rounding"]]
        if rounded:
            warnings.warn(
                f"data: {len(rounded)} of {len(samples)} volumes in {shown(self.folder)} are "
                f"rounded to 16 bits, by {max(rounded):.2g} at most after normalisation: ssl3d "
                "prepare --exact rounds none",
                DataWarning,
                stacklevel=2,
            )
        return Found(
            [sample.source for sample in samples],
            [sample.group for sample in samples],
            [sample.listed for sample in samples],
            policy,
        )

    def volume(self, source: Source) -> StoredVolume:
        """The volume of a sample.

        Raises:
            BadVolume: it could not be prepared.
        """
        if source not in self._open:
            entry = self._entry(source)
            path = self.folder / VOLUMES / entry["file"]
            frame = Frame(**entry["frame"])
            self._open[source] = StoredVolume(path, frame=frame, name=source.name)
        return self._open[source]

    def spacing(self, source: Source) -> tuple[float, float, float]:
        """Of a sample's volume, in mm (z, y, x).

        Raises:
            BadVolume: it could not be prepared.
        """
        z, y, x = self._entry(source)["spacing"]
        return z, y, x

    def grid(self, source: Source) -> Grid:
        """The voxels of a sample's first file, before they were resampled."""
        return self._samples[source].grid

    def affine(self, source: Source) -> NDArray[np.float64]:
        """(4, 4) from (x, y, z, 1) indices of a sample's volume to mm in RAS.

        Raises:
            BadVolume: it could not be prepared.
        """
        return np.array(self._entry(source)["affine"])

    def _entry(self, source: Source) -> Entry:
        sample = self._samples[source]
        if sample.volume is None:
            raise _bad(source.name, str(sample.problem))
        return sample.volume


def _bad(name: str, problem: str) -> BadVolume:
    """What was said when the store was filled."""
    path, _, reason = problem.partition(": ")
    return BadVolume(path, reason) if reason else BadVolume(name, problem)
