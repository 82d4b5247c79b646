"""What an inspection found, and its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from ssl3d.tasks.inspect.copies import copies_among, each_once
from ssl3d.tasks.inspect.facts import PERCENTILES, Facts


@dataclass(frozen=True)
class Found:
    """All files of a data set.

    Attributes:
        files: in the order of their names.
        remarks: (file, remark) of what was passed over while searching, such as a DICOM series
            that is a localiser.
        paths: of the files, by the name in their facts.
    """

    files: tuple[Facts, ...]
    remarks: tuple[tuple[str, str], ...]
    paths: Mapping[str, Path]

    @cached_property
    def images(self) -> list[Facts]:
        """What a run could learn from, copies once."""
        return each_once([one for one in self.files if one.image])

    @property
    def labels(self) -> list[Facts]:
        """What looks like label maps."""
        return [one for one in self.files if one.labels and not one.problem]

    @property
    def bad(self) -> list[Facts]:
        """What a run could not use."""
        return [one for one in self.files if one.problem]

    @cached_property
    def copies(self) -> list[list[Facts]]:
        """Groups of files with the same voxels."""
        return copies_among(self.files)

    @property
    def noted(self) -> list[tuple[str, str]]:
        """(file, remark) of what was assumed of headers."""
        return [(one.path, note) for one in self.files for note in one.notes]

    def counts(self) -> dict[str, int]:
        """How many files of each sort."""
        return {
            "files": len(self.files),
            "images": len(self.images),
            "label-like": len(self.labels),
            "cannot be used": len(self.bad),
            "copies of another": sum(len(group) - 1 for group in self.copies),
            "left out of the search, or noted in it": len(self.remarks),
        }

    def ranges(self) -> dict[str, list[tuple[float, float, float]]]:
        """(least, median, most) of the images' spacing in mm and shape in voxels, for z, y, x."""
        return {
            name: [_range([getattr(one, name)[axis] for one in self.images]) for axis in range(3)]
            for name in ("spacing", "shape")
            if self.images
        }

    def sorts(self) -> dict[str, dict[str, int]]:
        """How many images have which format, orientation, type of voxels and modality."""
        names = ("format", "orientation", "dtype", "modality")
        return {
            name: dict(Counter(getattr(one, name) or "not known" for one in self.images))
            for name in names
        }

    def thick(self) -> dict[str, int]:
        """Images with thick slices, by the axis across them."""
        return dict(Counter(one.thick for one in self.images if one.thick))

    def as_json(self) -> dict[str, Any]:
        """Plain values, without pictures."""
        return {
            "counts": self.counts(),
            "ranges": self.ranges(),
            "sorts": self.sorts(),
            "thick_slices": self.thick(),
            "copies": [[one.path for one in group] for group in self.copies],
            "remarks": [{"file": file, "remark": remark} for file, remark in self.remarks],
            "percentiles": PERCENTILES,
            "files": [
                {name: value for name, value in one.as_json().items() if name != "pictures"}
                for one in self.files
            ],
        }


def _range(values: list[float]) -> tuple[float, float, float]:
    return (min(values), float(median(values)), max(values))
