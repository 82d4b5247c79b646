"""Measured times of the ways to convolve on one device, and the fastest for a convolution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ssl3d_plugins.sparse_cells.traced import constant_in_graphs

FAR = 2.0
"""Shapes that are more unlike say nothing of one another; see `Shape.distance`."""


class Shape(NamedTuple):
    """What the time of a convolution is taken to depend on.

    Attributes:
        sites: of a cell, on the coarse side.
        channels: in or out, the fewer of them.
        strided: with a stride on some axis.
        half: in half precision.
    """

    sites: int
    channels: int
    strided: bool
    half: bool

    def distance(self, other: Shape) -> float:
        """How unlike two shapes of one precision are: factors of two."""
        sites = abs(math.log2(self.sites / other.sites)) / 3  # of edges
        channels = abs(math.log2(self.channels / other.channels))
        return sites + channels + (0 if self.strided == other.strided else 10)


@dataclass(frozen=True, eq=False)
class WaysTable:
    """What `ssl3d tune` found.

    Attributes:
        device: its name.
        date: of the measurement, with its time.
        versions: of torch, triton and ssl3d, None for what was not there.
        rows: milliseconds, forward and backward, of each way by name.
        threads: of a CPU.
    """

    device: str
    date: str
    versions: Mapping[str, str | None]
    rows: Mapping[Shape, Mapping[str, float]]
    threads: int | None = None
    _known: dict[Shape, Mapping[str, float]] = field(default_factory=dict, repr=False)

    def fastest(self, shape: Shape, *, among: Iterable[str]) -> str:
        """The name of the fastest way `among` some, by the most similar shape that was measured.

        Empty where nothing similar was measured in this precision: the built-in table counts.
        """
        return _fastest(self, *shape, names=tuple(among))

    def describe(self) -> str:
        """For a run's environment file and for `ssl3d doctor`."""
        versions = ", ".join(f"{name} {v}" for name, v in self.versions.items() if v)
        return f"measured {self.date} on {self.device} with {versions}"

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "device": self.device,
            "date": self.date,
            "versions": dict(self.versions),
            "threads": self.threads,
            "rows": [{**s._asdict(), "milliseconds": dict(ms)} for s, ms in self.rows.items()],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> WaysTable:
        """What `to_plain` gave; raises KeyError, TypeError or ValueError where it is not that."""
        rows = {
            Shape(*(row[name] for name in Shape._fields)): dict(row["milliseconds"])
            for row in plain["rows"]
        }
        given = {name: plain[name] for name in ("device", "date", "versions", "threads")}
        return cls(**given, rows=rows)

    def _nearest(self, shape: Shape) -> Mapping[str, float]:
        """Milliseconds of each way at the most similar shape; empty where none is similar."""
        if shape not in self._known:
            alike = [row for row in self.rows if row.half == shape.half]
            nearest = min(alike, key=shape.distance, default=None)
            similar = nearest is not None and shape.distance(nearest) <= FAR
            self._known[shape] = self.rows[nearest] if nearest and similar else {}
        return self._known[shape]


@constant_in_graphs
def _fastest(
    table: WaysTable, sites: int, channels: int, strided: bool, half: bool, names: tuple[str, ...]
) -> str:
    """By plain values, which the compiler takes as constants."""
    times = table._nearest(Shape(sites, channels, strided, half))
    return min((name for name in names if name in times), key=times.__getitem__, default="")
