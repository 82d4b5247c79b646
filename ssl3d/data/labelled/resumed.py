"""A run that goes on learns from the same files, and is tested on the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.listing import ListedSample, Listing
from ssl3d.data.resumed import SHOWN

TABLES = ("manifest", "points", "group_file")


def table_digests(data: LabelledData) -> dict[str, str]:
    """Hash of the content of each table that a spec names, by option: targets and finds are there.

    Raises:
        DataError: a table cannot be read.
    """
    found = {}
    for option in TABLES:
        path = getattr(data, option)
        if path is not None:
            try:
                content = Path(path).expanduser().read_bytes()
            except OSError as error:
                raise DataError(
                    f"data.{option}: {path!r} cannot be read: {error.strerror}"
                ) from error
            found[option] = hashlib.sha256(content).hexdigest()
    return found


def check_unchanged(
    before: Listing,
    now: Listing,
    *,
    tables_before: Mapping[str, str],
    tables_now: Mapping[str, str],
) -> None:
    """Refuse to go on with other cases, files, sides or tables.

    Args:
        before: `LabelledVolumes.listing` of the run that was begun.
        now: that of today.
        tables_before: `table_digests` of the run that was begun.
        tables_now: those of today.

    Raises:
        DataError: lists what is not as it was.
    """
    lines = [
        f"changed: data.{option} has other content"
        for option in TABLES
        if tables_before.get(option) != tables_now.get(option)
    ]
    lines += _changes(_by_path(before), _by_path(now))
    if lines:
        more = [f"{len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise DataError(
            "data: the cases are not those that this run was begun with:\n"
            + "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
            + "\nPut them back as they were, or start a new run"
        )


Known = dict[tuple[str, ...], tuple[str, ListedSample]]


def _by_path(listing: Listing) -> Known:
    sides = (("learned from", listing.training), ("tested on", listing.held_out))
    return {sample.paths: (side, sample) for side, samples in sides for sample in samples}


def _changes(before: Known, now: Known) -> Iterator[str]:
    for paths in sorted(before.keys() | now.keys()):
        name = paths[0]
        if paths not in now:
            yield f"missing: {name}, which was {before[paths][0]}"
        elif paths not in before:
            yield f"added: {name}, which is {now[paths][0]}"
        elif before[paths][0] != now[paths][0]:
            yield f"moved: {name} is {now[paths][0]}, was {before[paths][0]}"
        elif before[paths][1].group != now[paths][1].group:
            old, new = before[paths][1].group, now[paths][1].group
            yield f"changed: {name} is of {new!r}, was of {old!r}"
        else:
            files = zip(before[paths][1].files, now[paths][1].files, strict=True)
            yield from (
                f"changed: {new.path} was written since" for old, new in files if old != new
            )
