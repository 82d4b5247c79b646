"""Who is trained on, who chooses, who is tested on: whole groups, never on two sides."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.split import digest


@dataclass(frozen=True)
class Sides:
    """The cases of one fold.

    Attributes:
        training: what is learned from.
        choosing: what the best checkpoint is chosen by; empty where the last is taken.
        testing: what the final number is measured on.
        unused: of groups that `subjects` leaves out.
    """

    training: tuple[Case, ...]
    choosing: tuple[Case, ...]
    testing: tuple[Case, ...]
    unused: tuple[Case, ...]


def split_cases(
    cases: Sequence[Case], *, data: LabelledData, choosing: bool, subset_seed: int
) -> Sides:
    """The sides of fold `data.fold`.

    Folds depend on the names of groups and on strata alone. `data.subjects` counts those that
    choose among them: a label that chooses is a label. Which of the drawn groups choose depends on
    those drawn before alone, so that those who train on 5 are among those on 10.

    Args:
        cases: all that are labelled.
        data: folds, fold, subjects, choose.
        choosing: True keeps some apart to choose by.
        subset_seed: which subjects are drawn.

    Raises:
        DataError: too few groups, an empty fold, or a group in two folds.
    """
    strata = strata_of(cases)
    folds = folds_of(cases, folds=data.folds, strata=strata)
    tested = {group for group, fold in folds.items() if fold == data.fold}
    if not tested:
        raise DataError(
            f"data.fold: no case is in fold {data.fold} of the manifest's {data.folds}: there are "
            f"{', '.join(map(str, sorted(set(folds.values()))))}"
        )
    order = drawn({group: strata[group] for group in folds if group not in tested}, subset_seed)
    number = len(order) if data.subjects is None else data.subjects
    if number > len(order):
        raise DataError(
            f"data.subjects is {number}, but {len(order)} persons (groups) are outside of fold "
            f"{data.fold}: give fewer, or none for all"
        )
    if number < 1 + choosing:
        raise DataError(
            f"data: {number} persons (groups) to learn from, and one of them is needed to choose "
            "by: give data.subjects of at least 2, or take the last checkpoint (select: last)"
            if order
            else f"data: every person (group) is in fold {data.fold}: none is left to learn from"
        )
    chosen: set[int] = set()
    if choosing:
        chosen = _choosers([strata[group] for group in order], number, share=data.choose)
    side = dict.fromkeys(order, "unused")
    side |= dict.fromkeys(order[:number], "training")
    side |= {order[place]: "choosing" for place in chosen}
    side |= dict.fromkeys(tested, "testing")
    sides = {
        name: tuple(case for case in cases if side[case.group] == name)
        for name in ("training", "choosing", "testing", "unused")
    }
    return Sides(**sides)


def strata_of(cases: Sequence[Case]) -> dict[str, str]:
    """Stratum of each group: those of its cases."""
    found: dict[str, set[str]] = {}
    for case in cases:
        found.setdefault(case.group, set()).add(case.stratum)
    return {group: "+".join(sorted(strata)) for group, strata in found.items()}


def folds_of(cases: Sequence[Case], *, folds: int, strata: Mapping[str, str]) -> dict[str, int]:
    """Fold of each group: the manifest's, else dealt out, one stratum after the other.

    Raises:
        DataError: a group is in two folds of the manifest, some cases have none, or there are more
            folds than groups.
    """
    given: dict[str, int] = {}
    for case in cases:
        if case.fold is not None and given.setdefault(case.group, case.fold) != case.fold:
            raise DataError(
                f"data.manifest: group {case.group!r} is in fold {given[case.group]} and in fold "
                f"{case.fold}: a person must be in one"
            )
    if given:
        return given
    if folds > len(strata):
        raise DataError(
            f"data.folds is {folds}, but there are {len(strata)} persons (groups): a fold would be "
            "empty, give fewer"
        )
    ranked = sorted(strata, key=lambda group: (strata[group], digest(group)))
    return {group: place % folds for place, group in enumerate(ranked)}


def drawn(strata: Mapping[str, str], seed: int) -> list[str]:
    """Groups in the order that `subjects` takes them: each start of it holds all strata alike."""

    def rank(group: str) -> bytes:
        return hashlib.sha256(f"{seed}/".encode() + digest(group)).digest()

    members: dict[str, list[str]] = {}
    for group in sorted(strata, key=rank):
        members.setdefault(strata[group], []).append(group)
    places = {
        group: ((place + 0.5) / len(groups), rank(group))
        for groups in members.values()
        for place, group in enumerate(groups)
    }
    return sorted(places, key=places.__getitem__)


def _choosers(strata: Sequence[str], number: int, *, share: float) -> set[int]:
    """Places, of the first `number` of those drawn, that choose; the last where nobody would.

    Whenever one more is due, it comes from the stratum of which the least chooses, the rarer of
    two; that is waited for, until a second is due.

    Args:
        strata: of the groups in the order that they are drawn, also of those beyond `number`.
        number: of the drawn groups.
        share: that chooses.
    """
    sizes, seen, choose = Counter(strata), Counter[str](), Counter[str]()
    chosen: set[int] = set()

    def rank(stratum: str) -> tuple[float, int]:
        return choose[stratum] / seen[stratum], sizes[stratum]

    for place, stratum in enumerate(strata[:number]):
        seen[stratum] += 1
        due = math.floor((place + 1) * share + 0.5 - 1e-9) - len(chosen)
        to_come = [one for one in seen if seen[one] < sizes[one]]
        first = all(rank(stratum) <= rank(one) for one in to_come)
        # One of each stratum is left to train on.
        if due > 1 or (due == 1 and first and seen[stratum] - choose[stratum] > 1):
            chosen.add(place)
            choose[stratum] += 1
    return chosen or {number - 1}
