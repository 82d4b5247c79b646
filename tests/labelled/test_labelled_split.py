"""Folds and subjects: nobody on two sides, few among many, strata alike everywhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl3d.data.data_error import DataError
from ssl3d.data.labelled.case import Case
from ssl3d.data.labelled.spec import LabelledData
from ssl3d.data.labelled.split import folds_of, split_cases, strata_of
from ssl3d.data.source import Source


def cases_of(groups: list[tuple[str, str]]) -> list[Case]:
    """A case for each (group, stratum)."""
    return [
        Case(Source((Path(f"{i}.nii"),)), group=group, stratum=stratum)
        for i, (group, stratum) in enumerate(groups)
    ]


sets = st.lists(
    st.tuples(st.integers(0, 30).map(str), st.sampled_from("ab")), min_size=3, max_size=60
).filter(lambda groups: len({group for group, _ in groups}) >= 4)


@given(sets, st.integers(0, 1), st.booleans(), st.integers(0, 9), st.data())
def test_nobody_is_on_two_sides(groups, fold, choosing, seed, more) -> None:
    cases = cases_of(groups)
    persons = {case.group for case in cases}
    subjects = more.draw(st.none() | st.integers(2, len(persons) - (len(persons) + 1) // 2))
    data = LabelledData(images="a", folds=2, fold=fold, subjects=subjects)
    sides = split_cases(cases, data=data, choosing=choosing, subset_seed=seed)
    parts = [sides.training, sides.choosing, sides.testing, sides.unused]
    assert sorted(c.name for part in parts for c in part) == sorted(c.name for c in cases)
    people = [{case.group for case in part} for part in parts]
    assert sum(map(len, people)) == len(set().union(*people))
    assert people[0]
    assert people[2]
    assert bool(people[1]) == choosing
    if subjects is not None:
        assert len(people[0] | people[1]) == subjects


@given(sets, st.integers(2, 4))
def test_every_case_is_tested_on_once(groups, folds) -> None:
    cases = cases_of(groups)
    tested = [
        case.name
        for fold in range(folds)
        for case in split_cases(
            cases,
            data=LabelledData(images="a", folds=folds, fold=fold),
            choosing=False,
            subset_seed=0,
        ).testing
    ]
    assert sorted(tested) == sorted(case.name for case in cases)


@given(st.integers(0, 99), st.booleans())
def test_few_subjects_are_among_many(seed: int, choosing: bool) -> None:
    cases = cases_of([(f"p{i // 2}", "ab"[i % 5 == 0]) for i in range(80)])
    before: set[str] = set()
    for subjects in (2, 3, 5, 10, 20, 32):
        data = LabelledData(images="a", subjects=subjects)
        sides = split_cases(cases, data=data, choosing=choosing, subset_seed=seed)
        people = {case.group for case in sides.training}
        assert before <= people
        before = people


def test_other_seeds_draw_other_subjects_and_no_other_folds() -> None:
    cases = cases_of([(f"p{i}", "") for i in range(40)])
    data = LabelledData(images="a", subjects=8)
    sides = [split_cases(cases, data=data, choosing=False, subset_seed=seed) for seed in (0, 0, 1)]
    assert sides[0] == sides[1] != sides[2]
    assert sides[0].testing == sides[2].testing


@given(st.integers(1, 20), st.integers(1, 20), st.integers(2, 6))
def test_folds_and_draws_hold_strata_alike(many: int, few: int, folds: int) -> None:
    cases = cases_of([(f"a{i}", "a") for i in range(many)] + [(f"b{i}", "b") for i in range(few)])
    if folds > len(cases):
        return
    dealt = folds_of(cases, folds=folds, strata=strata_of(cases))
    for stratum in "ab":
        counts = Counter(fold for group, fold in dealt.items() if group[0] == stratum)
        sizes = [counts[fold] for fold in range(folds)]
        assert max(sizes) - min(sizes) <= 1
    sizes = [Counter(dealt.values())[fold] for fold in range(folds)]
    assert max(sizes) - min(sizes) <= 1


def test_drawn_subjects_hold_strata_alike() -> None:
    cases = cases_of([(f"p{i}", "rare" if i % 4 == 0 else "often") for i in range(100)])
    for subjects in (8, 16, 40):
        data = LabelledData(images="a", subjects=subjects)
        sides = split_cases(cases, data=data, choosing=False, subset_seed=3)
        rare = sum(case.stratum == "rare" for case in sides.training)
        assert abs(rare - subjects / 4) <= 1


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(2, 60), min_size=1),
    st.sampled_from([0.1, 0.2, 0.25, 0.5]),
    st.integers(0, 99),
)
def test_those_who_choose_are_of_all_strata_alike(sizes, share, seed) -> None:
    """Each stratum has its share of them to one, and somebody to train on."""
    groups = [(f"{name}{i}", name) for name, size in sizes.items() for i in range(size)]
    cases = [Case(c.source, group=c.group, stratum=c.stratum, fold=0) for c in cases_of(groups)]
    tested = Case(Source((Path("t.nii"),)), group="t", stratum="t", fold=1)
    data = LabelledData(images="a", folds=2, fold=1, choose=share)
    sides = split_cases([*cases, tested], data=data, choosing=True, subset_seed=seed)
    for name, size in sizes.items():
        choose = sum(case.stratum == name for case in sides.choosing)
        assert abs(choose - size * share) <= 1.5 + 0.5 * len(sizes)
        assert choose < size
    assert abs(len(sides.choosing) - len(cases) * share) <= 1.5


@pytest.mark.parametrize(
    "sizes", [{"a": 60, "b": 40}, {"a": 100, "b": 25}, {"a": 90, "b": 10}, {"a": 12, "b": 8}]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_common_share_does_not_leave_a_stratum_out(sizes: dict[str, int], seed: int) -> None:
    groups = [(f"{name}{i}", name) for name, size in sizes.items() for i in range(size)]
    for fold in range(5):
        data = LabelledData(images="a", folds=5, fold=fold)
        sides = split_cases(cases_of(groups), data=data, choosing=True, subset_seed=seed)
        choose = Counter(case.stratum for case in sides.choosing)
        for name, size in sizes.items():
            assert abs(choose[name] - 0.8 * size * data.choose) <= 1
            assert choose[name]


def test_folds_of_a_manifest_are_kept() -> None:
    cases = [Case(Source((Path(f"{i}.nii"),)), group=f"p{i // 2}", fold=i // 4) for i in range(8)]
    data = LabelledData(images="a", folds=2, fold=1)
    sides = split_cases(cases, data=data, choosing=False, subset_seed=0)
    assert sides.testing == tuple(cases[4:])
    torn = [*cases, Case(Source((Path("x.nii"),)), group="p0", fold=1)]
    with pytest.raises(DataError, match="'p0' is in fold 0 and in fold 1"):
        split_cases(torn, data=data, choosing=False, subset_seed=0)


@pytest.mark.parametrize(
    ("number", "options", "choosing", "message"),
    [
        (3, {"folds": 4}, False, "data.folds is 4, but there are 3 persons"),
        (8, {"folds": 2, "subjects": 5}, False, "data.subjects is 5, but 4 persons"),
        (8, {"folds": 2, "subjects": 1}, True, "at least 2, or take the last"),
    ],
)
def test_too_few_persons(number: int, options: dict, choosing: bool, message: str) -> None:
    cases = cases_of([(f"p{i}", "") for i in range(number)])
    data = LabelledData(images="a", **options)
    with pytest.raises(DataError, match=message):
        split_cases(cases, data=data, choosing=choosing, subset_seed=0)


def test_an_empty_fold_of_a_manifest() -> None:
    cases = [Case(Source((Path(f"{i}.nii"),)), group=f"p{i}", fold=0) for i in range(4)]
    for fold, message in ((1, "no case is in fold 1"), (0, "none is left to learn from")):
        data = LabelledData(images="a", folds=2, fold=fold)
        with pytest.raises(DataError, match=message):
            split_cases(cases, data=data, choosing=False, subset_seed=0)
