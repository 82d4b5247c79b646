"""Finds in images, from a table, as places in the prepared volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ssl3d.data.data_error import DataError
from ssl3d.data.grid import Grid
from ssl3d.data.labelled.case import Point
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.truth import Targets, Truth
from ssl3d.data.manifest_table import Row, Table
from ssl3d.data.scan import open_scan
from ssl3d.data.source import Source

AXES = ("x", "y", "z")


class Points:
    """A table of finds.

    Args:
        data: names the table.
        truth: whose columns it may have.

    Raises:
        DataError: it cannot be used.
    """

    def __init__(self, data: LabelledData, *, truth: Truth) -> None:
        assert data.points is not None
        path = Path(data.points).expanduser()
        self._column = data.columns.images[0]
        self._table = Table(path, needed=(self._column, *AXES), option="data.points")
        self._unit = data.points_in
        self._truth = truth

    @property
    def columns(self) -> frozenset[str]:
        """Of the table."""
        return self._table.columns

    def rows(self, sources: Sequence[Source]) -> list[list[Row]]:
        """The finds in each image.

        Raises:
            DataError: an image is unknown.
        """
        return self._table.of(sources, column=self._column)

    def targets(self, row: Row) -> tuple[float | None, ...]:
        """What a find has of its own, see `Point.targets`."""
        if not isinstance(self._truth, Targets):
            return ()
        truth, where = self._truth, self._table.where(row)
        try:
            return tuple(
                None
                if column not in self.columns
                else (truth.read(row[column], where=where) if row[column] else math.nan)
                for column in truth.columns
            )
        except ValueError as error:
            raise DataError(str(error)) from error

    def point(self, row: Row, *, source: Source, grid: Grid) -> Point:
        """A find where it is in the prepared volume, whose grid is `grid`.

        Raises:
            DataError: it is no place, or none in the volume.
        """
        where = self._table.where(row)
        try:
            given = [float(row[axis]) for axis in AXES]
        except ValueError as error:
            raise DataError(f"{where}: x, y, z must be numbers") from error
        place = np.array([*given, 1.0])
        if self._unit == "voxels":
            place = open_scan(source.files[0]).affine @ place
        elif self._unit == "lps":
            place = place * [-1, -1, 1, 1]
        index = np.linalg.solve(grid.affine, place)[:3]
        # Half a voxel is the rim of the outermost one, and a header is rounded.
        if not ((index >= -0.51) & (index <= np.array(grid.shape) - 0.49)).all():
            raise DataError(
                f"{where}: ({', '.join(f'{one:g}' for one in given)}) lies outside of "
                f"{source.name}: check data.points_in, which is {self._unit}"
            )
        x, y, z = map(float, index)
        return Point((z, y, x), self.targets(row))
