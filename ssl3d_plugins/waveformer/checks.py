"""Checks of options that have one entry for each stage. Each returns its value or raises."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo

from ssl3d.geometry import Triple
from ssl3d.plugin.shown import shown


def one_per_stage(value: Any, info: ValidationInfo, *, fewer: int = 0) -> Any:
    """One entry for each width, less `fewer`; None passes. Raises ValueError."""
    widths = info.data.get("widths")
    if value is not None and widths is not None and len(value) != len(widths) - fewer:
        each = "each stage but the first" if fewer else "each stage"
        raise ValueError(
            f"given {len(value)} entries for {len(widths)} widths; give one for {each}, "
            f"{len(widths) - fewer} in all, or leave it out"
        )
    return value


def within(least: int, most: int, value: tuple[int, ...] | tuple[Triple, ...] | None) -> Any:
    """Whole numbers of this range, alone or as triples; None passes. Raises ValueError."""
    for entry in value or ():
        numbers = entry if isinstance(entry, tuple) else (entry,)
        if min(numbers) < least or max(numbers) > most:
            raise ValueError(
                f"given {shown(value)}; each must be a whole number from {least} to {most}"
            )
    return value


def heads_divide(widths: tuple[int, ...], heads: tuple[int, ...] | None) -> Any:
    """Heads that divide the width of their stage. Raises ValueError."""
    for i, (width, count) in enumerate(zip(widths, heads or (), strict=False)):
        if width % count:
            raise ValueError(
                f"stage {i} has width {width} and {count} heads: heads must divide the width, "
                f"such as {nearest_divisor(width, count)}"
            )
    return heads


def wide_enough_to_rotate(widths: tuple[int, ...], heads: tuple[int, ...]) -> None:
    """Raise ValueError where a head has no pair of channels for each axis."""
    for i, (width, count) in enumerate(zip(widths, heads, strict=True)):
        if width // count < 6:
            raise ValueError(
                f"rope needs heads of at least 6 channels, a pair for each axis; stage {i} has "
                f"{width // count} (width {width}, {count} heads). Allowed: at most "
                f"{max(width // 6, 1)} heads, a wider stage, or positions relative_bias or none"
            )


def default_heads(widths: tuple[int, ...]) -> tuple[int, ...]:
    """A head for every 16 channels, or a few less so that they divide the width."""
    return tuple(nearest_divisor(width, max(width // 16, 1)) for width in widths)


def nearest_divisor(width: int, count: int) -> int:
    """The largest divisor of `width` that is at most `count`."""
    return next(n for n in range(min(count, width), 0, -1) if width % n == 0)
