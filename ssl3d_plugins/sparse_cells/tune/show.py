"""Tables for people: what was measured, what is chosen, and what was chosen before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from rich.table import Table

from ssl3d_plugins.sparse_cells.across import WAYS
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_cells.tune.measure import Measured
from ssl3d_plugins.sparse_cells.tune.points import Point
from ssl3d_plugins.sparse_cells.ways_table import WaysTable


def measured_table(found: Mapping[Point, Measured], *, device: torch.device) -> Table:
    """Milliseconds of each way at each convolution, the fastest, and the built-in choice."""
    view = Table(title="forward and backward, ms", title_justify="left")
    view.add_column("3³ convolution", no_wrap=True)
    names = [way.name for way in WAYS if any(way.name in m.milliseconds for m in found.values())]
    for name in (*names, "fastest", "built-in"):
        view.add_column(name, justify="right", no_wrap=True)
    for point, one in found.items():
        times = [f"{one.milliseconds[n]:.2f}" if n in one.milliseconds else "" for n in names]
        fastest = min(one.milliseconds, key=one.milliseconds.__getitem__)
        view.add_row(str(point), *times, fastest, built_in(point, device=device))
    return view


def kept_table(table: WaysTable) -> Table:
    """What a table that is kept holds."""
    view = Table(title=table.describe(), title_justify="left")
    for column in ("coarse sites of a cell", "channels", "strided", "precision", "ms by way"):
        view.add_column(column, justify="right", no_wrap=True)
    for shape, times in table.rows.items():
        ordered = sorted(times.items(), key=lambda item: item[1])
        view.add_row(
            str(shape.sites),
            str(shape.channels),
            "yes" if shape.strided else "no",
            "half" if shape.half else "single",
            ", ".join(f"{name} {ms:.2f}" for name, ms in ordered),
        )
    return view


def built_in(point: Point, *, device: torch.device) -> str:
    """The way that is taken without a measurement."""
    return choose(point.op, features=point.features(device)).name
