"""Measure a device within a time, and make the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import torch

import ssl3d
from ssl3d_plugins.sparse_cells.tune.measure import CLOCK, Measured, measure
from ssl3d_plugins.sparse_cells.tune.points import Point
from ssl3d_plugins.sparse_cells.ways_file import device_name, versions
from ssl3d_plugins.sparse_cells.ways_table import WaysTable

GRID = {"cpu": 4, "cuda": 8}
"""Cells per axis; a quarter is visible, so 16 and 128."""


class Tuned(NamedTuple):
    """What a measurement gave.

    Attributes:
        table: for runs.
        found: at each convolution that was measured.
        left: convolutions for which there was no time.
    """

    table: WaysTable
    found: dict[Point, Measured]
    left: tuple[Point, ...]


def tune(
    at: Sequence[Point],
    *,
    device: torch.device,
    seconds: float,
    on_point: Callable[[Point], None] = lambda _: None,
) -> Tuned:
    """Measure one convolution after another until the time is up.

    Args:
        at: the convolutions, in this order.
        device: where.
        seconds: for all; the one that is being measured then is finished.
        on_point: is told what is measured next.
    """
    end, found = CLOCK() + seconds, dict[Point, Measured]()
    for i, point in enumerate(at):
        left = end - CLOCK()
        if left <= 0:
            break
        on_point(point)
        share = left / (len(at) - i)
        found[point] = measure(point, device=device, seconds=share, grid=GRID[device.type])
    rows = {point.shape(device): one.milliseconds for point, one in found.items()}
    table = WaysTable(
        device=device_name(device),
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
        versions={**versions(), "ssl3d": ssl3d.__version__},
        rows=rows,
        threads=torch.get_num_threads() if device.type == "cpu" else None,
    )
    return Tuned(table, found, tuple(at[len(found) :]))
