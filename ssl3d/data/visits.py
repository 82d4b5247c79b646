"""Volumes of one visit, two by two: a pair is a sample of two files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from ssl3d.data.data_error import BadVolume, DataError, DataWarning
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, patients, visit_of


def paired(
    volumes: Sequence[Source], *, spec: DataSpec, folder: Path | None = None
) -> tuple[list[Source], list[tuple[Source, BadVolume]]]:
    """Every two volumes of each visit, and those that have no partner, with what to say of them.

    Args:
        volumes: of one file each.
        spec: says which belong together.
        folder: where `visit_by` and `group_by` see paths from; none: as they are given.

    Raises:
        DataError: a volume has no visit, no two are of one, or a visit is of several groups.
    """
    _say_without_groups(volumes, spec=spec)
    visits: dict[str, list[Source]] = {}
    for volume, visit in zip(volumes, visit_of(volumes, spec=spec, folder=folder), strict=True):
        visits.setdefault(visit, []).append(volume)
    for visit, own in visits.items():
        groups = sorted(set(group_of(own, spec=spec, folder=folder)))
        if len(groups) > 1:
            raise DataError(
                f"data: visit {visit!r} has volumes of the groups {', '.join(map(repr, groups))}: "
                "a visit is of one group"
            )
    together = [two for own in visits.values() for two in combinations(own, 2)]
    pairs = [_pair(one, other, alike=bool(spec.normalise_by_modality)) for one, other in together]
    if not pairs:
        raise DataError(
            f"data: none of {len(volumes)} volumes has a partner: give data.visit_by, "
            "data.visit_file or the column of a manifest (data.columns.visit) so that the volumes "
            "of a visit, such as two sequences, have one"
        )
    alone = [(visit, own[0]) for visit, own in visits.items() if len(own) == 1]
    return pairs, [
        (volume, BadVolume(volume.name, f"has no partner: it is alone in visit {visit!r}"))
        for visit, volume in alone
    ]


def _say_without_groups(volumes: Sequence[Source], *, spec: DataSpec) -> None:
    """Warn where a manifest names visits and nobody says whose they are (`DataWarning`)."""
    groups = (spec.group_by, spec.group_file, volumes[0].group)
    if spec.columns.visit is None or any(groups) or all(patients(volumes)):
        return
    warnings.warn(
        f"data.columns.visit: no volume has a group, so those of one {spec.columns.visit} count as "
        "of one person: where visits of several persons are called alike, such as ses-1, give the "
        "column of persons (data.columns.group), data.group_by or data.group_file",
        DataWarning,
        stacklevel=2,
    )


def _pair(one: Source, other: Source, *, alike: bool) -> Source:
    """Two volumes as one sample: of a modality where both are of that.

    Args:
        one: of a visit.
        other: of the same.
        alike: True where a sample is normalised by its modality.

    Raises:
        DataError: they have masks that differ, or must be and are not of one modality.
    """
    if alike and one.modality != other.modality:
        raise DataError(
            f"data.normalise_by_modality: {one.name} ({one.modality}) and {other.name} "
            f"({other.modality}) are of one visit, and a pair is normalised as one: give "
            "data.normalise alone, or visits of one modality each"
        )
    if one.valid != other.valid:
        raise DataError(
            f"data: {one.name} and {other.name} are of one visit and have other masks of valid "
            "voxels: give both the same, for both are on one grid"
        )
    return Source(
        (*one.files, *other.files),
        modality=one.modality if one.modality == other.modality else None,
        valid=one.valid,
        group=one.group,
        visit=one.visit,
        weight=(one.weight + other.weight) / 2,
    )
