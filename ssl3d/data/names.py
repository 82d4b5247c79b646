"""Which names are of one volume: links to a file, copies and parts of a DICOM series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.volume_path import identity


class Names:
    """Knows each volume by the name that it was met by first."""

    def __init__(self) -> None:
        self._files: dict[Any, Path] = {}
        self._series: dict[str, list[Path]] = {}
        self._slices: dict[Path, frozenset[str]] = {}

    def first(self, path: Path) -> Path:
        """The first name of this volume; of series that share slices there is one.

        Raises:
            BadVolume: a series is gone.
        """
        if path.suffix != ENDING:
            return self._files.setdefault(identity(path), path)
        alike = self._series.setdefault(path.name, [])
        for other in alike:
            if other == path or not self._slices_of(other).isdisjoint(self._slices_of(path)):
                return other
        alike.append(path)
        return path

    def _slices_of(self, series: Path) -> frozenset[str]:
        """Looked at only where a second series has the UID."""
        if series not in self._slices:
            from ssl3d.data.dicom.series import slices_of

            self._slices[series] = slices_of(series)
        return self._slices[series]
