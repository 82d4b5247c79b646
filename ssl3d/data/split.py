"""Which samples are held out: whole groups, the same ones for every seed and machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from ssl3d.data.data_error import DataError, shown
from ssl3d.data.dicom.candidates import ENDING
from ssl3d.data.files import Source
from ssl3d.data.group_file import groups_from_file
from ssl3d.data.search import seen_from
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
    ranked = sorted(set(groups), key=digest)
    count = 0
    if spec.holdout > 0 and len(ranked) > 1:
        count = min(max(1, round(spec.holdout * len(ranked))), len(ranked) - 1)
    held = set(ranked[:count])
    pairs = list(zip(sources, groups, strict=True))
    train = [source for source, group in pairs if group not in held]
    return train, [source for source, group in pairs if group in held]


def digest(group: str) -> bytes:
    """What groups are ranked by: a hash of the name, alike on every machine."""
    # The bytes of the name: a file name need not be UTF-8.
    return hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest()


def group_of(sources: Sequence[Source], *, spec: DataSpec, folder: Path | None = None) -> list[str]:
    """Group of each sample; where the spec has no grouping the patient of a DICOM series, else its
    visit, else its path.

    `group_by` sees paths from `folder`, where the run was begun; none: as they are given.
    """
    if spec.group_by is not None:
        return _by_expression(sources, spec.group_by, folder=folder, option="data.group_by")
    if spec.group_file is not None:
        return groups_from_file(sources, path=Path(spec.group_file).expanduser())
    if spec.pairs:
        first = [Source(source.files[:1]) for source in sources]
        names = visit_of(first, spec=spec, folder=folder)
    else:
        # The end of the path: a set that was moved to another folder or machine splits alike.
        names = ["/".join(source.files[0].parts[-3:]) for source in sources]
        if len(set(names)) < len(names):
            names = [source.name for source in sources]
    return [patient or name for patient, name in zip(patients(sources), names, strict=True)]


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
        return _by_expression(sources, spec.visit_by, folder=folder, option="data.visit_by")
    assert spec.visit_file is not None
    path = Path(spec.visit_file).expanduser()
    return groups_from_file(sources, path=path, option="data.visit_file")


def _by_expression(
    sources: Sequence[Source], expression: str, *, folder: Path | None, option: str
) -> list[str]:
    pattern = re.compile(expression)
    groups = []
    for source in sources:
        match = pattern.search(source.files[0].name) or pattern.search(
            shown(seen_from(folder, source.files[0]))
        )
        if match is None or not match.group(1):
            raise DataError(
                f"{option}: {expression!r} names no group in {source.name!r}: give an "
                "expression that matches every file"
            )
        groups.append(match.group(1))
    return groups
