"""What is to be learned of a case: a map of classes, or targets. Imports no torch."""

from __future__ import annotations

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
        classes: what cells may say in place of 0, 1, ..., where it is known which there are.
    """

    columns: tuple[str, ...]
    kind: Literal["class", "number"] = "class"
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"target columns {list(self.columns)}: give at least one, each once")
        if self.classes and self.kind == "number":
            raise ValueError("classes are given, but the targets are numbers: leave out classes")

    def read(self, cell: str, *, where: str) -> float:
        """The number that a cell means.

        Raises:
            ValueError: it means none; begins with `where`.
        """
        if cell in self.classes:
            return float(self.classes.index(cell))
        try:
            number = float(cell)
        except ValueError:
            number = float("nan")
        if self.kind == "class":
            known, allowed = float("inf"), "whole numbers from 0"
            if self.classes:
                known, allowed = len(self.classes), f"one of {', '.join(self.classes)}"
                if self.classes != ("0", "1"):
                    allowed += f" (or 0 to {known - 1})"
            if not (0 <= number < known and number == round(number)):
                raise ValueError(f"{where}: {shown(cell)} is no class: give {allowed}, or nothing")
        elif not abs(number) < 1e30:
            raise ValueError(f"{where}: {shown(cell)} is no number: give one, or nothing")
        return number


Truth = LabelMap | Targets
