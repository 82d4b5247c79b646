"""Every case is labelled and stands once, and no label map is of two persons."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.truth import LabelMap, Truth
from ssl3d.data.volume_path import identity


def check_known(cases: Sequence[Case], *, truth: Truth) -> None:
    """Every case has a label map, or a target, and an image of its own.

    Raises:
        DataError: names cases that have none, that stand twice, or a map that two persons share.
    """
    for name, times in Counter(case.name for case in cases).items():
        if times > 1:
            raise DataError(
                f"data: {name} is the image of {times} cases: name it once. To learn from several "
                "label maps of one image, give each a copy of it or a link to it, all of one group"
            )
    if isinstance(truth, LabelMap):
        without, what = [case.name for case in cases if case.label is None], "label map"
        _check_maps(cases)
    else:
        without = [case.name for case in cases if all(map(math.isnan, case.targets))]
        what = "target"
    if without:
        raise DataError(
            f"data: {len(without)} of {len(cases)} cases have no {what}, such as "
            f"{', '.join(without[:3])}: label them or leave them out"
        )


def _check_maps(cases: Sequence[Case]) -> None:
    """A label map is of one person."""
    first: dict[Any, Case] = {}
    for case in cases:
        if case.label is None:
            continue
        other = first.setdefault(identity(case.label), case)
        if other.group != case.group:
            raise DataError(
                f"data: {case.label} is the label map of {other.name} and of {case.name}, which "
                f"are of the groups {other.group!r} and {case.group!r}: a person must be in one"
            )
