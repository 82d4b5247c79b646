"""What a sample knows of itself, and where its modality comes from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from run_batches import found

from ssl3d.data.data_error import DataError
from ssl3d.data.disk_cache import DiskCache
from ssl3d.data.modality import with_modalities
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec


def test_what_changes_preparation_tells_samples_and_kept_volumes_apart(
    tmp_path: Path, write_nifti, noisy
) -> None:
    image, valid = write_nifti("a.nii.gz", noisy()), write_nifti("b.nii.gz", noisy())
    one = Source((image,))
    others = [
        replace(one, modality="CT"),
        replace(one, valid=valid),
        replace(one, lacking=(0,)),
        replace(one, lacking=(1,)),
        Source((image, valid)),
    ]
    cache = DiskCache(DataSpec(volumes="x", cache={"folder": tmp_path / "kept"}))
    kept = [cache.path(source) for source in (one, *others)]
    assert len(set(kept)) == len({one, *others}) == 6
    same = replace(one, group="anna", visit="1", weight=2.0)
    assert (same, cache.path(same)) == (one, kept[0]), "does not change how it is prepared"
    before = cache.path(others[1])
    os.utime(valid, (1, 1))
    assert cache.path(others[1]) != before, "the mask has changed"


def test_channels_that_have_no_file() -> None:
    source = Source((Path("b"), Path("d")), lacking=(0, 2), valid=Path("v"))
    assert (source.numbers, source.name) == ((1, 3), "b")
    whole = source.whole
    assert whole.files == (Path.cwd() / "b", Path.cwd() / "d")
    assert (whole.valid, whole.lacking) == (Path.cwd() / "v", (0, 2))


def test_a_modality_by_name_and_by_table(tmp_path: Path, write_nifti, noisy) -> None:
    for name in ("s1_T1w", "s1_bold", "s2_T1w"):
        write_nifti(f"set/{name}.nii.gz", noisy())
    spec = DataSpec(volumes=str(tmp_path / "set"), modality_by="_([A-Za-z0-9]+)\\.nii")
    volumes = found(spec)
    every = [*volumes.train_files, *volumes.held_out_files]
    assert {source.files[0].name: source.modality for source in every} == {
        "s1_T1w.nii.gz": "T1w",
        "s1_bold.nii.gz": "bold",
        "s2_T1w.nii.gz": "T1w",
    }
    with pytest.raises(DataError, match=r"modality_by: 'x\(y\)' names no modality in '.*s1_T1w"):
        found(DataSpec(volumes=spec.volumes, modality_by="x(y)"))
    table = tmp_path / "kinds.csv"
    table.write_text("name,group\ns1_T1w,T1w\ns1_bold,bold\ns2_T1w,T1w\n")
    by_table = found(DataSpec(volumes=spec.volumes, modality_file=table))
    assert {s.modality for s in by_table.train_files + by_table.held_out_files} == {"T1w", "bold"}
    table.write_text("name,group\ns1_T1w,T1w\n")
    with pytest.raises(DataError, match=r"data.modality_file: .* has no group for 2 of 3 files"):
        found(DataSpec(volumes=spec.volumes, modality_file=table))


def test_nobody_says_a_modality() -> None:
    sources = [Source((Path("a.nii.gz"),)), Source((Path("b.nii.gz"),), modality="CT")]
    kinds = [s.modality for s in with_modalities(sources, spec=DataSpec(volumes="x"))]
    assert kinds == [None, "CT"]
    with pytest.raises(ValidationError, match="modality_by and modality_file are both given"):
        DataSpec(volumes="x", modality_by="(a)", modality_file="b.csv")


def test_a_pair_is_of_a_modality_that_both_are_of(tmp_path: Path, write_nifti, noisy) -> None:
    for name in ("v1_a_T1w", "v1_b_T1w", "v2_a_T1w", "v2_b_T2w"):
        write_nifti(f"set/{name}.nii.gz", noisy())
    volumes = found(
        DataSpec(
            volumes=str(tmp_path / "set"),
            visit_by="(v[12])_",
            modality_by="_(T.w)",
            holdout=0,
        )
    )
    assert [source.modality for source in volumes.train_files] == ["T1w", None]
