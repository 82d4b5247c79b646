"""Which classes there are to learn: a set that shows one alone teaches nothing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from rich.progress import track

from ssl3d.data.bad import BadFilePolicy
from ssl3d.data.data_error import BadVolume, DataError, DataWarning
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.label_map import check_labels
from ssl3d.data.labelled.split import Sides
from ssl3d.data.labelled.truth import LabelMap, Targets, Truth
from ssl3d.data.scan import open_scan

SILENT = 50
"""Fewer label maps are read before a progress bar could be noticed."""


def check_targets(sides: Sides, *, truth: Truth) -> None:
    """A column of targets has two values among those that are learned from.

    Other columns that have one alone, there or among those that are measured, are said by name
    (`DataWarning`), and what crops without a find are taught, where that is a class by name.

    Raises:
        DataError: no column has two, so nothing can be learned.
    """
    if not isinstance(truth, Targets):
        return
    _say_no_find(sides.training, truth=truth)
    none = "no AUROC" if truth.kind == "class" else "no R²"
    alone = []
    for number, column in enumerate(truth.columns):
        known = _known(sides.training, number)
        if len(set(known)) < 2:
            found = f"is {known[0]:g} in all {len(known)}" if known else "is known of none"
            alone.append(f"target {column!r} {found} of the {len(sides.training)} training cases")
        for name, cases in (("choosing", sides.choosing), ("testing", sides.testing)):
            if cases and len(set(_known(cases, number))) < 2:
                warnings.warn(
                    f"data: target {column!r} has one value, or none, in the {len(cases)} cases "
                    f"for {name}: nothing can be told apart there, and it will have {none}",
                    DataWarning,
                    stacklevel=2,
                )
    if len(alone) == len(truth.columns):
        raise DataError(
            f"data: {'; '.join(alone)}: give cases of both kinds, more subjects, or leave the "
            "column out"
        )
    for words in alone:
        warnings.warn(
            f"data: {words}: nothing can be learned of it. Give cases of both kinds, more "
            "subjects, or leave the column out",
            DataWarning,
            stacklevel=2,
        )


def count_classes(
    sides: Sides, *, truth: LabelMap, policy: BadFilePolicy, rank: int = 0, world: int = 1
) -> dict[str, int]:
    """Training cases that have each class; see `LabelledVolumes.count_classes`."""
    counts = dict.fromkeys(truth.names, 0)
    every = (*sides.training, *sides.choosing, *sides.testing)[rank::world]
    silent = len(every) < SILENT or rank > 0
    for case in track(every, description="Reading labels", transient=True, disable=silent):
        try:
            present = _classes(case, truth=truth)
        except BadVolume as error:
            policy.handle(error, source=case.source)
            continue
        if case in sides.training:
            counts |= {name: counts[name] + 1 for name in present}
    return counts


def check_classes(counts: Mapping[str, int], *, sides: Sides) -> None:
    """Judge counts of all ranks; a class that no training case has is said (`DataWarning`).

    Raises:
        DataError: the training cases have one class alone.
    """
    if sum(count > 0 for count in counts.values()) < 2:
        found = ", ".join(name for name, count in counts.items() if count) or "none"
        raise DataError(
            f"data: the {len(sides.training)} training cases have one class alone ({found}) of "
            f"{', '.join(counts)}: check the labels and the values in the task"
        )
    for name, count in counts.items():
        if not count:
            warnings.warn(
                f"data: no training case has the class {name!r}: it cannot be learned",
                DataWarning,
                stacklevel=2,
            )


def _classes(case: Case, *, truth: LabelMap) -> Iterable[str]:
    assert case.label is not None
    voxels = open_scan(case.label).voxels()
    known = [*truth.values, *([] if truth.ignore is None else [truth.ignore])]
    check_labels(case.label, voxels, values=known)
    pairs = zip(truth.values, truth.names, strict=True)
    return [name for value, name in pairs if bool(np.any(voxels == value))]


def _say_no_find(cases: Iterable[Case], *, truth: Targets) -> None:
    points = [point for case in cases for point in case.points]
    own = any(value is not None for point in points for value in point.targets)
    if own and truth.classes not in ((), ("0", "1")):
        column, first = truth.columns[0], truth.classes[0]
        warnings.warn(
            f"data.points has a column {column!r}: crops that show no find are taught the class "
            f"{first!r}, which is the first. If that is not the one without finds, let it be the "
            "first of classes, or leave the column out of the table",
            DataWarning,
            stacklevel=3,
        )


def _known(cases: Iterable[Case], number: int) -> list[float]:
    values = (case.targets[number] for case in cases)
    return [value for value in values if not math.isnan(value)]
