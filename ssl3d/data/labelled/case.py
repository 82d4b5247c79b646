"""A labelled case, and the finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ssl3d.data.source import Source


@dataclass(frozen=True)
class Point:
    """A find.

    Attributes:
        place: (z, y, x) voxel of the prepared volume, counted from the middle of the first.
        targets: of each column that the table of points has; NaN where it says nothing. None where
            the table has no such column.
    """

    place: tuple[float, float, float]
    targets: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Case:
    """An image and what is known of it.

    Attributes:
        image: its files, one for each channel.
        label: its label map, where there is one.
        targets: of each column, NaN where nobody knows.
        group: the person.
        stratum: what folds are balanced by.
        fold: where the manifest gives one.
        points: finds in it.
        spacing: (z, y, x) of the prepared volume, in mm.
        extra: further columns of the manifest.
    """

    image: Source
    group: str
    label: Path | None = None
    targets: tuple[float, ...] = ()
    stratum: str = ""
    fold: int | None = None
    points: tuple[Point, ...] = ()
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    extra: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.image.name

    @property
    def source(self) -> Source:
        """Every file that its prepared volume is made of, the label map last."""
        label = () if self.label is None else (self.label,)
        return replace(self.image, files=(*self.image.files, *label))
