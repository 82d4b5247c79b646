"""What patterns of files must be. Imports no torch."""

from __future__ import annotations

import re

from ssl3d.plugin.shown import shown


def check_channels(
    channels: dict[str, str | tuple[str, ...]],
) -> dict[str, str | tuple[str, ...]]:
    """Files that belong together: all patterns with as many stars, or all lists of one length.

    Raises:
        ValueError: they are neither.
    """
    if not channels:
        raise ValueError("channels is empty: give at least one channel")
    patterns = {name: value for name, value in channels.items() if isinstance(value, str)}
    if not patterns:
        lengths = {name: len(value) for name, value in channels.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            raise ValueError(f"the lists have {lengths} files: give the same number, above 0")
        return channels
    if len(patterns) < len(channels):
        raise ValueError("patterns and lists are mixed: give one form for all channels")
    stars = {name: value.count("*") for name, value in patterns.items()}
    if len(set(stars.values())) > 1 or 0 in stars.values():
        raise ValueError(f"the patterns have {stars} stars: give the same number, above 0")
    for name, value in patterns.items():
        if re.search(r"\*\*|[?\[\]]", value):
            raise ValueError(
                f"channel {shown(name)}: {shown(value)}: only single stars are allowed here"
            )
    return channels


def check_source(
    *,
    volumes: str | tuple[str, ...] | None,
    channels: dict[str, str | tuple[str, ...]] | None,
    manifest: str | None,
    valid: str | tuple[str, ...] | None,
) -> None:
    """One way of naming files, and masks that go with it.

    Raises:
        ValueError: none or several, or masks that cannot be matched.
    """
    ways = {"volumes": volumes, "channels": channels, "manifest": manifest}
    given = [name for name, way in ways.items() if way is not None]
    if len(given) != 1:
        start = "neither given" if not given else f"{' and '.join(given)} are both given"
        raise ValueError(
            f"{start}: give either volumes (one file a sample), channels (several) or manifest (a "
            "table of them)"
        )
    if volumes == ():
        raise ValueError("volumes is an empty list: give a folder, a glob or some files")
    if valid is not None and manifest is not None:
        raise ValueError("valid is a column of a manifest: give it there")
    if valid is not None:
        files = channels if volumes is None else {"volumes": volumes}
        check_channels({**(files or {}), "valid": valid})


def check_expression(group_by: str) -> str:
    """A regular expression with one group.

    Raises:
        ValueError: it is none.
    """
    try:
        groups = re.compile(group_by).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{shown(group_by)} is not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(
            f"{shown(group_by)} has {groups} groups: put parentheses around exactly the part "
            "that names the group, such as (sub-[0-9]+)"
        )
    return group_by
