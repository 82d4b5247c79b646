"""What is to be learned of a case: a map of classes, or targets. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ssl3d.plugin.shown import shown

IGNORE = -1
"""Class of voxels that count for nothing: padding, what lies outside of the scan, the ignore label.
"""


@dataclass(frozen=True)
class LabelMap:
    """A label for each voxel.

    Attributes:
        values: the value that stands for each class in the files, in the order of the classes; the
            first is the background.
        names: of the classes.
        ignore: value of voxels that nobody labelled; None where there are none.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    ignore: int | None = None

    def __post_init__(self) -> None:
        every = [*self.values, *([] if self.ignore is None else [self.ignore])]
        if len(self.names) != len(self.values) or len(self.values) < 2:
            raise ValueError(
                f"{len(self.values)} label values and {len(self.names)} names: give a name to each "
                "of at least two, the background among them"
            )
        if len(set(every)) < len(every) or min(every) < 0:
            raise ValueError(f"label values {every}: give whole numbers from 0, each once")


@dataclass(frozen=True)
class Targets:
    """Numbers of a case as a whole, from columns of a table.

    Attributes:
        columns: of the manifest, in the order of `LabelledBatch.targets`.
        kind: "class" for whole numbers from 0, "number" for any.
        classes: what cells may say in place of 0, 1, ..., where it is known which there are. Where
            one of them is a number itself, a number in a cell is such a name and no place.
    """

    columns: tuple[str, ...]
    kind: Literal["class", "number"] = "class"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"target columns {list(self.columns)}: give at least one, each once")
        if self.classes and self.kind == "number":
            raise ValueError("classes are given, but the targets are numbers: leave out classes")
        numbers = _numbers(self.classes)
        if len(set(map(_number, numbers))) < len(numbers):
            raise ValueError(f"classes {', '.join(numbers)}: two of them are the same number")

    def read(self, cell: str, *, where: str) -> float:
        """The number that a cell means.

        Raises:
            ValueError: it means none; begins with `where`.
        """
        if cell in self.classes:
            return float(self.classes.index(cell))
        number = _number(cell)
        if self.kind == "number":
            if not abs(number) < 1e30:
                raise ValueError(f"{where}: {shown(cell)} is no number: give one, or nothing")
            return number
        known = self._known()
        if known is None and number >= 0 and number == round(number):
            return number
        if known is None or number not in known:
            raise ValueError(
                f"{where}: {shown(cell)} is no class: give {self._allowed()}, or nothing"
            )
        return float(known[number])

    def _known(self) -> dict[float, int] | None:
        """The class that a number means: that of this name, where any name is a number, else its
        place; None where it is not known which classes there are.
        """
        if not self.classes:
            return None
        named = {_number(name): self.classes.index(name) for name in _numbers(self.classes)}
        return named or {float(place): place for place in range(len(self.classes))}

    def _allowed(self) -> str:
        if not self.classes:
            return "whole numbers from 0"
        last = "" if _numbers(self.classes) else f" (or 0 to {len(self.classes) - 1})"
        return f"one of {', '.join(self.classes)}{last}"


Truth = LabelMap | Targets


def _number(text: str) -> float:
    """NaN where it is none, or no finite one."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _numbers(names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not math.isnan(_number(name))]
