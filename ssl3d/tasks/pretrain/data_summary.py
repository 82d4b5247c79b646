"""What a dry run says of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssl3d.data.outline import Outline, outline
from ssl3d.data.spec import DataSpec
from ssl3d.geometry import show

MOST_NAMED = 10


def print_data_summary(spec: DataSpec, *, console: Console | None = None) -> None:
    """Look at the headers of a spec's files and print what they come to.

    Raises:
        DataError: a run could not start with these files; says why.
    """
    found = outline(spec)
    table = Table(show_header=False)
    for name, text in _rows(found, spec=spec):
        table.add_row(name, Text(text))
    (console or Console()).print(table)


def _rows(found: Outline, *, spec: DataSpec) -> Iterable[tuple[str, str]]:
    usable = found.training + found.held_out
    channels = f" of {spec.in_channels} channels" if spec.in_channels > 1 else ""
    channels = " of two volumes" if spec.pairs else channels
    yield "samples", f"{usable + len(found.bad)} found{channels}, {usable} usable by their headers"
    if found.lacking:
        yield "lacking", f"{found.lacking} of them lack some of the channels"
    if found.bad:
        lines = [*found.bad.values()][:MOST_NAMED]
        more = len(found.bad) - len(lines)
        yield "left out", "\n".join([*lines, *([f"and {more} more"] if more else [])])
    groups = f", in {found.groups} groups" if spec.grouped or found.groups < usable else ""
    yield "split", f"{found.training} to train on, {found.held_out} held out{groups}"
    for kind, shares in found.seen.items():
        yield f"seen, by {kind}", _shares(shares)
    sizes, spacings = zip(*found.grids, strict=True)
    yield "spacing", f"{_ranges(spacings)} mm"
    yield "size", f"{_ranges(sizes)} voxels in the files"
    if spec.spacing is not None:
        new = [grid.shape_at(spec.spacing) for grid in found.grids]
        to = " × ".join(f"{step:.4g}" for step in spec.spacing)
        yield "resampled", f"to {to} mm: {_ranges(new)} voxels"
    yield "patch", f"{show(spec.patch)} voxels"


def _shares(shares: Mapping[str, float]) -> str:
    """Of the crops: each name's, or of many the least, the median and the most."""
    if len(shares) <= MOST_NAMED:
        return ", ".join(f"{name} {share:.3g}" for name, share in shares.items()) + " of the crops"
    low, middle, high = min(shares.values()), median(shares.values()), max(shares.values())
    if high - low < 1e-9:
        return f"each of {len(shares)} alike, {low:.3g} of the crops"
    return f"{low:.3g} to {high:.3g} of the crops each (median {middle:.3g}), {len(shares)} in all"


def _ranges(values: Iterable[tuple[float, ...]]) -> str:
    """Per axis what all have, or the least, the median and the most."""
    shown = []
    for axis in zip(*values, strict=True):
        low, middle, high = (f"{value:.4g}" for value in (min(axis), median(axis), max(axis)))
        shown.append(low if low == high else f"{low} to {high} (median {middle})")
    return " × ".join(shown)
