"""Which of the two ways to convolve across cells is faster, from measurement."""

from __future__ import annotations

from ssl3d.geometry import Operation, Triple, product
from ssl3d_plugins.sparse_cells.tables import reach_down, reach_up

GROWTH = 6.0
WIDE_GROWTH = 3.0
WIDE = 128


def prefers_pairs(op: Operation, *, edge: Triple) -> bool:
    """True where pairs of sites beat boxes with a halo; `edge` is sites per cell of the input."""
    reach = reach_down(op) if op.kind == "conv3d" else reach_up(op)
    box = [e + lo + hi for e, lo, hi in zip(edge, *reach, strict=True)]
    growth = product((box[0], box[1], box[2])) / product(edge)
    wide = min(op.channels) // op.groups >= WIDE
    return growth > (WIDE_GROWTH if wide else GROWTH)
