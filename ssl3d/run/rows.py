"""Rows of numbers by step, to the metrics file and to loggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssl3d.run.loggers import Loggers
from ssl3d.run.metrics_file import MetricsFile, Row


class Rows:
    """Gathers the columns of a step and writes them as one row.

    Args:
        file: of this rank; None on ranks that write nothing.
        loggers: that get the same.

    Attributes:
        pending: columns of this step so far.
        latest: the newest value of each column.
    """

    def __init__(self, file: MetricsFile | None, *, loggers: Loggers) -> None:
        self._file = file
        self._loggers = loggers
        self.pending: Row = {}
        self.latest: Row = {name: value for row in self.all for name, value in row.items()}

    @property
    def all(self) -> Sequence[Row]:
        """The rows so far and this step's; that alone on ranks that write nothing."""
        return [*([] if self._file is None else self._file.rows), self.pending]

    def put(self, columns: Mapping[str, float]) -> None:
        """Add columns to this step's row."""
        self.pending |= columns

    def write(self, step: int) -> None:
        """Write the row, where there is one."""
        if not self.pending:
            return
        row, self.pending = {"step": float(step), **self.pending}, {}
        self.latest |= row
        if self._file is not None:
            self._file.add(row)
        self._loggers.log({name: value for name, value in row.items() if name != "step"}, step)
