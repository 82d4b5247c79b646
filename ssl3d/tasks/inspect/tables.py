"""What was found, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ssl3d.tasks.inspect.facts import PERCENTILES, Facts
from ssl3d.tasks.inspect.found import Found

MOST_ROWS = 50
"""Files in the table of a terminal; the page and the data have all."""

MOST_NAMED = 10
COLUMNS = ("voxels zyx", "mm zyx", "axes", "type", "0.5, 50, 99.5 %", "")


def print_found(found: Found, *, console: Console) -> None:
    """A table of files, what is not right with some, and the numbers of the set."""
    files = Table(Column("file", overflow="fold"), *COLUMNS, box=None, pad_edge=False)
    for one in found.files[:MOST_ROWS]:
        files.add_row(*map(Text, row_of(one)))
    console.print(files)
    if len(found.files) > MOST_ROWS:
        console.print(f"and {len(found.files) - MOST_ROWS} more files: see --out and --json")
    for title, lines in lists_of(found):
        console.print(Text(f"{title} ({len(lines)})", style="bold"))
        for line in lines[:MOST_NAMED]:
            console.print(Text(f"  {line}"), soft_wrap=True)
        if len(lines) > MOST_NAMED:
            console.print(f"  and {len(lines) - MOST_NAMED} more")
    numbers = Table(show_header=False)
    for name, text in numbers_of(found):
        numbers.add_row(name, Text(text))
    console.print(numbers)


def row_of(one: Facts) -> tuple[str, ...]:
    """One file: its name, and what `COLUMNS` say."""
    levels = dict(zip(PERCENTILES, one.percentiles, strict=False))
    verdict = "cannot be used" if one.problem else "label-like" if one.labels else ""
    return (
        one.path,
        "×".join(str(size) for size in one.shape or ()),
        "×".join(f"{step:.3g}" for step in one.spacing or ()),
        one.orientation,
        one.dtype,
        ", ".join(f"{levels[share]:.3g}" for share in (0.5, 50.0, 99.5) if levels),
        verdict,
    )


def lists_of(found: Found) -> Iterator[tuple[str, list[str]]]:
    """(title, lines) of what needs a look; none where there is nothing."""
    lists = {
        "Cannot be used": [f"{one.path}: {one.problem}" for one in found.bad],
        "Look like label maps": [f"{one.path}: {one.labels}" for one in found.labels],
        "Hold the same voxels": [_copies(group) for group in found.copies],
        "Left out or noted in the search": [f"{f}: {r}" if f else r for f, r in found.remarks],
        "Assumed of headers": [f"{file}: {note}" for file, note in found.noted],
    }
    yield from ((title, lines) for title, lines in lists.items() if lines)


def _copies(group: Sequence[Facts]) -> str:
    names = " = ".join(one.path for one in group)
    return f"{names} (with other spacings)" if len({one.spacing for one in group}) > 1 else names


def numbers_of(found: Found) -> Iterator[tuple[str, str]]:
    """(name, text) of the numbers of a set."""
    yield from ((name, str(count)) for name, count in found.counts().items() if count)
    units = {"spacing": "mm", "shape": "voxels"}
    for name, axes in found.ranges().items():
        yield f"{name}, z × y × x", f"{_ranges(axes)} {units[name]}, of the images"
    thick = found.thick()
    share = sum(thick.values()) / max(1, len(found.images))
    where = ", ".join(f"{count} along {axis}" for axis, count in thick.items())
    yield "thick slices", f"{share:.0%} of the images" + (f" ({where})" if where else "")
    for name, sorts in found.sorts().items():
        if set(sorts) != {"not known"}:
            text = ", ".join(f"{what} {count}" for what, count in sorts.items())
            yield {"orientation": "stored axes", "dtype": "type"}.get(name, name), text


def _ranges(axes: Iterable[tuple[float, float, float]]) -> str:
    """Per axis what all have, or the least, the median and the most."""
    return " × ".join(
        f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g} (median {middle:.4g})"
        for low, middle, high in axes
    )
