"""Which samples are held out: whole groups, the same ones for every seed and machine."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.group_file import groups_from_file
from ssl3d.data.search import seen_from
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


def split_sources(
    sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None
) -> tuple[list[Source], list[Source]]:
    """(training samples, held-out samples); no group is on both sides.

    Groups are ranked by a hash of their name, so the split depends on no seed, and adding files
    moves few of the others.

    Raises:
        DataError: a sample has no group, or the grouping file cannot be used.
    """
    groups = group_of(sources, spec=spec, folder=folder)
    train, held_out = split_by(groups, holdout=spec.holdout)
    return [sources[i] for i in train], [sources[i] for i in held_out]


def split_by(groups: Sequence[str], *, holdout: float) -> tuple[list[int], list[int]]:
    """Places of (training samples, held-out samples) by the group of each sample."""
    ranked = sorted(set(groups), key=digest)
    count = 0
    if holdout > 0 and len(ranked) > 1:
        count = min(max(1, round(holdout * len(ranked))), len(ranked) - 1)
    held = set(ranked[:count])
    train = [i for i, group in enumerate(groups) if group not in held]
    return train, [i for i, group in enumerate(groups) if group in held]


def digest(group: str) -> bytes:
    """What groups are ranked by: a hash of the name, alike on every machine."""
    # The bytes of the name: a file name need not be UTF-8.
    return hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest()


def group_of(sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None) -> list[str]:
    """Group of each sample, by the spec or its manifest; where they have no grouping the patient of
    a DICOM series, else its visit, else the last three parts of its whole path.

    `group_by` sees paths from `folder`, where the run was begun; none: as they are given.
    """
    if spec.group_by is not None:
        return by_expression(sources, spec.group_by, folder=folder, option="data.group_by")
    if spec.group_file is not None:
        return groups_from_file(sources, path=Path(spec.group_file).expanduser())
    given = [source.group for source in sources if source.group is not None]
    if len(given) == len(sources):
        return given
    if spec.pairs:
        first = [replace(source, files=source.files[:1]) for source in sources]
        names = visit_of(first, spec=spec, folder=folder)
    else:
        names = _places(sources)
    return [patient or name for patient, name in zip(patients(sources), names, strict=True)]


def _places(sources: Sequence[Source]) -> list[str]:
    """The end of each whole path, however the spec spells it: a set that was moved to another
    folder or machine splits alike. Whole paths where two end alike."""
    paths = [Path(os.path.abspath(source.files[0])) for source in sources]
    names = ["/".join(path.parts[-3:]) for path in paths]
    return names if len(set(names)) == len(names) else [shown(path) for path in paths]


def patients(sources: Sequence[Source]) -> list[str]:
    """PatientID of each sample that is a DICOM series, "" for others."""
    if not any(source.files[0].suffix == ENDING for source in sources):
        return [""] * len(sources)
    from ssl3d.data.dicom.series import patient_of

    return [patient_of(source.files[0]) for source in sources]


def visit_of(sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None) -> list[str]:
    """Visit of each volume, as `group_of` finds groups.

    Raises:
        DataError: a volume has none, or the file cannot be used.
    """
    if spec.visit_by is not None:
        return by_expression(sources, spec.visit_by, folder=folder, option="data.visit_by")
    if spec.visit_file is None:
        return _visits_in_manifest(sources, spec=spec, folder=folder)
    path = Path(spec.visit_file).expanduser()
    return groups_from_file(sources, path=path, option="data.visit_file")


def _visits_in_manifest(
    sources: Sequence[Source], *, spec: DataSpec, folder: Path | None
) -> list[str]:
    """Visits with the name of their group: those of several persons may be called alike."""
    groups = [source.group for source in sources]
    if spec.group_by is not None or spec.group_file is not None:
        groups = list(group_of(sources, spec=spec, folder=folder))
    pairs = zip(groups, sources, strict=True)
    return [f"{group}, {source.visit}" if group else str(source.visit) for group, source in pairs]


def by_expression(
    sources: Sequence[Source],
    expression: str,
    *,
    folder: Path | None,
    option: str,
    what: str = "group",
) -> list[str]:
    """What the one group of an expression matches in the name of each sample, else in its path.

    Args:
        sources: the samples.
        expression: with one group.
        folder: where paths are seen from; none: as they are given.
        option: that gave it, for errors.
        what: it names.

    Raises:
        DataError: it matches nothing in one.
    """
    pattern = re.compile(expression)
    groups = []
    for source in sources:
        group = named_by(pattern, source.files[0], folder=folder)
        if not group:
            raise DataError(
                f"{option}: {expression!r} names no {what} in {source.name!r}: give an "
                "expression that matches every file"
            )
        groups.append(group)
    return groups


def named_by(pattern: re.Pattern[str], path: Path, *, folder: Path | None) -> str | None:
    """What the one group of a pattern matches in the name of a file, else in its path."""
    match = pattern.search(path.name) or pattern.search(shown(seen_from(folder, path)))
    return None if match is None else match.group(1)
