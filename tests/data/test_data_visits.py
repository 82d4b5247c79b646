"""Volumes of a visit are samples two by two, and whatever has no partner is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from run_batches import found

from ssl3d.data import RunVolumes
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.spec import DataSpec

VISIT = r"(p\d+v\d+)_"


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    """Two persons with two visits each, of T1 and T2; T1 holds 1 and T2 holds 2 in a corner."""
    for person in (1, 2):
        for visit in (1, 2):
            for number, name in enumerate(("t1", "t2"), start=1):
                values = noisy((8, 8, 8), seed=10 * person + visit)
                values[:4] = number
                write_nifti(f"set/p{person}v{visit}_{name}.nii.gz", values)
    return tmp_path


def spec_of(folder: Path, **options) -> DataSpec:
    how = {"name": "ct_window", "lower": 0, "upper": 4}
    options = {"visit_by": VISIT, "holdout": 0.5, **options}
    return DataSpec(
        volumes=str(folder / "set"), patch=8, normalise=how, workers=0, flips=[False] * 3, **options
    )


def names(volumes: RunVolumes) -> list[list[tuple[str, ...]]]:
    sides = (volumes.train_files, volumes.held_out_files)
    return [sorted(tuple(f.name[:7] for f in source.files) for source in side) for side in sides]


def test_volumes_with_one_match_are_a_sample(folder: Path) -> None:
    volumes = found(spec_of(folder, group_by=r"(p\d+)v"))
    training, held_out = names(volumes)
    assert sorted(training + held_out) == [
        (f"p{person}v{visit}_t1", f"p{person}v{visit}_t2") for person in (1, 2) for visit in (1, 2)
    ]
    # A person is on one side.
    assert [len({pair[0][:2] for pair in side}) for side in (training, held_out)] == [1, 1]
    assert len(training) == len(held_out) == 2
    crop = volumes.training_crops(seed=0, extent=(8, 8, 8))[0]
    assert crop["volume"].shape == (2, 8, 8, 8)
    assert crop["volume"][:, 0, 0, 0].tolist() == [0.25, 0.5], "both at the same place, T1 first"
    assert torch.isfinite(crop["volume"]).all()


def test_without_groups_a_visit_is_on_one_side(folder: Path, write_nifti, noisy) -> None:
    """Of three volumes there are three pairs, which share files."""
    write_nifti("set/p1v1_t3.nii.gz", noisy((8, 8, 8), seed=3))
    volumes = found(spec_of(folder))
    training, held_out = names(volumes)
    assert len(training + held_out) == 6
    visits = [{pair[0][:4] for pair in side} for side in (training, held_out)]
    assert not visits[0] & visits[1]
    groups = {sample.group for sample in volumes.listing.samples}
    assert groups == {"p1v1", "p1v2", "p2v1", "p2v2"}


@pytest.mark.parametrize("name", ["visits.csv", "visits.json"])
def test_a_file_says_it_as_well(folder: Path, name: str) -> None:
    rows = {f"p{p}v{v}_{s}": f"{p}{v}" for p in (1, 2) for v in (1, 2) for s in ("t1", "t2")}
    text = "name,group\n" + "".join(f"{n},{g}\n" for n, g in rows.items())
    if name.endswith("json"):
        text = str(rows).replace("'", '"')
    (folder / name).write_text(text)
    by_file = found(spec_of(folder, visit_by=None, visit_file=folder / name))
    assert sum(map(len, names(by_file))) == 4
    (folder / name).write_text(text.replace("p1v1_t1", "p1v1_t9"))
    with pytest.raises(DataError, match=r"data.visit_file: .* has no group for 1 of 8 files"):
        found(spec_of(folder, visit_by=None, visit_file=folder / name))


def test_a_volume_without_a_partner_is_said_or_stops(folder: Path) -> None:
    (folder / "set/p1v1_t2.nii.gz").unlink()
    volumes = found(spec_of(folder))
    assert sum(map(len, names(volumes))) == 3
    ((name, problem),) = volumes.bad_files().items()
    assert name.endswith("p1v1_t1.nii.gz")
    assert "has no partner: it is alone in visit 'p1v1'" in problem
    with pytest.raises(BadVolume, match="has no partner"):
        found(spec_of(folder, on_bad_file="stop"))


def test_a_partner_of_another_geometry_is_said(folder: Path, write_nifti, noisy) -> None:
    write_nifti("set/p1v1_t2.nii.gz", noisy((8, 8, 9), seed=3))
    volumes = found(spec_of(folder))
    assert sum(map(len, names(volumes))) == 3
    (problem,) = volumes.bad_files().values()
    assert "p1v1_t2.nii.gz" in problem
    assert "must share one grid" in problem


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visit_by": r"(t\d)", "group_by": r"(p\d)"}, "visit 't1' has volumes of the groups 'p1'"),
        ({"visit_by": r"(p\dv\d_t\d)"}, "none of 8 volumes has a partner"),
        ({"visit_by": r"(x)"}, "data.visit_by: '(x)' names no group"),
        (
            {"modality_by": r"(t\d)", "normalise_by_modality": {"t1": "zscore"}},
            "are of one visit, and a pair is normalised as one",
        ),
    ],
)
def test_what_cannot_be_visits_is_refused(folder: Path, options, message: str) -> None:
    with pytest.raises(DataError) as caught:
        found(spec_of(folder, **options))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volumes": "a", "visit_by": "(a)", "visit_file": "b"}, "give one of them"),
        ({"channels": {"a": "a*"}, "visit_by": "(a)"}, "give them as volumes"),
        ({"volumes": "a", "visit_by": "a"}, "put parentheses around"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec(**options)
