"""The volumes of a run: split, held-out ones read before it begins, channels, bad files."""

from __future__ import annotations

import json
import logging
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from run_batches import batches_of, first, found, same

from ssl3d.data.data_error import BadVolume
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes


@pytest.fixture
def folder(tmp_path: Path, write_nifti, noisy) -> Path:
    for i in range(1, 9):
        write_nifti(f"set/case_{i}.nii.gz", noisy(seed=i))
    return tmp_path


def over(folder: Path, **options) -> RunVolumes:
    options = {"patch": (8, 8, 8), "workers": 0, "batch_size": 3, **options}
    return found(DataSpec(volumes=str(folder / "set"), **options))


def test_split_by_a_mapping_keeps_subjects_whole(folder: Path, tmp_path: Path) -> None:
    mapping = {f"case_{i}": f"subject {(i + 1) // 2}" for i in range(1, 9)}
    (tmp_path / "groups.json").write_text(json.dumps(mapping))
    volumes = over(folder, holdout=0.3, group_file=tmp_path / "groups.json")
    train = {int(s.files[0].name[5]) for s in volumes.train_files}
    held = {int(s.files[0].name[5]) for s in volumes.held_out_files}
    assert len(held) == 2
    assert train | held == set(range(1, 9))
    assert {(i + 1) // 2 for i in held}.isdisjoint((i + 1) // 2 for i in train)
    batches = batches_of(volumes)
    seen = {Path(name).name for batch in islice(batches.training(), 10) for name in batch.sources}
    assert seen == {f"case_{i}.nii.gz" for i in train}
    held_batches = list(batches.held_out())
    assert sum(len(batch) for batch in held_batches) == 4
    assert {Path(n).name for b in held_batches for n in b.sources} == {
        f"case_{i}.nii.gz" for i in held
    }
    assert same(held_batches, list(batches.held_out()))


def test_one_group_holds_nothing_out_and_says_so(
    tmp_path: Path, write_nifti, noisy, caplog
) -> None:
    write_nifti("set/a.nii", noisy())
    with caplog.at_level(logging.WARNING):
        volumes = over(tmp_path)
    assert "Nothing is held out" in caplog.text
    assert len(volumes.train_files) == 1
    assert volumes.held_out_files == []
    assert list(batches_of(volumes).held_out()) == []
    assert len(first(volumes, 2)) == 2


def test_channels_are_stacked(tmp_path: Path, write_nifti, noisy) -> None:
    for i in range(2):
        write_nifti(f"set/{i}_t1.nii", noisy(seed=i))
        write_nifti(f"set/{i}_t2.nii", 1000 - noisy(seed=i))
    channels = {name: str(tmp_path / f"set/*_{name}.nii") for name in ("t1", "t2")}
    how = {"name": "percentile", "lower": 0, "upper": 100}
    spec = DataSpec(channels=channels, patch=(8, 8, 8), workers=0, holdout=0, normalise=how)
    (batch,) = first(found(spec), 1)
    volume = batch.views[0].volume
    assert volume.shape == (2, spec.in_channels, 8, 8, 8)
    assert torch.allclose(volume[:, 0], 1 - volume[:, 1], atol=1e-5)


def test_held_out_volumes_are_read_when_asked(folder: Path, write_nifti, caplog) -> None:
    """One that cannot be used is left out, by name; its header had nothing wrong."""
    held = over(folder, holdout=0.4).held_out_files
    bad = held[1].files[0]
    write_nifti(str(bad.relative_to(folder)), np.ones((9, 9, 9), np.float32))
    volumes = over(folder, holdout=0.4)
    assert volumes.held_out_files == held
    volumes.read_held_out()
    assert volumes.held_out_files == [held[0], *held[2:]]
    assert list(volumes.bad_files()) == [held[1].name]
    sources = [name for batch in batches_of(volumes).held_out() for name in batch.sources]
    assert sources == [source.name for source in (held[0], *held[2:]) for _ in range(2)]
    with pytest.raises(BadVolume, match="no contrast"):
        over(folder, holdout=0.4, on_bad_file="stop").read_held_out()
    for source in held:
        write_nifti(str(source.files[0].relative_to(folder)), np.ones((9, 9, 9), np.float32))
    none = over(folder, holdout=0.4)
    with caplog.at_level(logging.WARNING):
        assert list(batches_of(none).held_out()) == []
    assert "none of the held-out volumes can be used" in caplog.text


def test_bad_files_of_an_earlier_run_are_forgotten_when_asked(folder: Path, write_nifti) -> None:
    write_nifti("set/2d.nii", np.ones((9, 9), np.float32))
    spec = DataSpec(volumes=str(folder / "set"), patch=8, workers=0)
    record = folder / "bad.jsonl"
    assert list(found(spec, record=record).bad_files()) == [f"{folder}/set/2d.nii"]
    (folder / "set/2d.nii").unlink()
    again = RunVolumes(spec, record=record)
    again.find()
    assert list(again.bad_files()) == [f"{folder}/set/2d.nii"], "another rank's, it may be"
    again = RunVolumes(spec, record=record)
    again.forget_bad_files()
    again.find()
    assert again.bad_files() == {}
