"""Files that hold the same voxels, whatever their names and formats."""

from __future__ import annotations

from collections.abc import Sequence

from ssl3d.tasks.inspect.facts import Facts


def copies_among(files: Sequence[Facts]) -> list[list[Facts]]:
    """Groups of two files and more with equal voxels in RAS, in the order of the files."""
    groups: dict[str, list[Facts]] = {}
    for one in files:
        if one.digest and not one.problem:
            groups.setdefault(one.digest, []).append(one)
    return [group for group in groups.values() if len(group) > 1]


def each_once(files: Sequence[Facts]) -> list[Facts]:
    """Files without the later copies of one."""
    first: dict[str, Facts] = {}
    return [one for one in files if first.setdefault(one.digest, one) is one]
