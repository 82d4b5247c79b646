"""Runs from a store are runs from the files: split, groups, crops, bad files, resumed runs."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from run_batches import found

from ssl3d.data import BadVolume, DataWarning, RunVolumes
from ssl3d.data.data_error import DataError
from ssl3d.data.resumed import Earlier
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.fill import Filled, fill_store
from ssl3d.data.stored.options import OF_RUNS, PATHS

PATCH = (16, 16, 16)


@pytest.fixture
def folder(tmp_path: Path, write_nifti: Callable[..., Path], noisy: Callable[..., Any]) -> Path:
    """Six volumes of whole numbers of three persons, two of each with broken voxels."""
    for number in range(6):
        values = noisy((20 + number, 24, 28), seed=number).round()
        values[0, :3] = np.nan if number % 2 else 7
        write_nifti(f"set/p{number // 2}_{number}.nii", values, spacing=(2.0, 1.0, 1.0))
    return tmp_path


def spec_of(folder: Path, **options: Any) -> DataSpec:
    options = {"volumes": str(folder / "set"), "holdout": 0.4, "workers": 0, **options}
    return DataSpec(patch=PATCH, cache={"folder": str(folder / "cache")}, **options)


def filled(spec: DataSpec, folder: Path, **options: Any) -> tuple[Filled, DataSpec]:
    """What filling said, and the spec of a run from the store."""
    return fill_store(spec, store=folder / "store", **options), spec.model_copy(
        update={"store": str(folder / "store")}
    )


def crops_of(volumes: RunVolumes) -> list[dict[str, Any]]:
    """Some training crops and all held-out crops."""
    training = volumes.training_crops(seed=1, extent=PATCH)
    held_out = volumes.held_out_crops(extent=PATCH)
    return [training[i] for i in range(12)] + [held_out[i] for i in range(len(held_out))]


def same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], *, within: float = 0) -> None:
    assert [crop["source"] for crop in ours] == [crop["source"] for crop in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one["valid"], other["valid"])
        assert float((one["volume"] - other["volume"]).abs().max()) <= within
        if not within:
            assert one["volume"].numpy().tobytes() == other["volume"].numpy().tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group_by": r"(p\d)_"},
        {"spacing": (1.5, 1.5, 1.5), "normalise": "zscore"},
        {"normalise": {"name": "ct_window", "lower": 80, "upper": 400}},
        {"foreground": {"margin": 2, "threshold": 200}},
        {"foreground": {"threshold": "none"}},
        {"exclude": ("*_3.nii",)},
        {"visit_by": r"(p\d)_", "foreground": {"margin": 0}},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_split_and_crops_are_those_of_the_files(
    folder: Path, options: dict[str, Any], write_nifti: Any, noisy: Any
) -> None:
    if "visit_by" in options:
        for number in range(6):  # a visit is on one grid
            values = noisy(seed=number)
            write_nifti(f"set/p{number // 2}_{number}.nii", values, spacing=(2, 1, 1))
    spec = spec_of(folder, **options)
    from_files = found(spec)
    expected = crops_of(from_files)
    _, stored = filled(spec, folder, exact=True)
    shutil.move(folder / "set", folder / "elsewhere")  # a store needs no files
    from_store = found(stored)
    assert from_store.listing == from_files.listing
    assert len(from_store.held_out_files) > 0
    same(crops_of(from_store), expected)


def test_channels(folder: Path, write_nifti: Any, noisy: Any) -> None:
    for name in "ab":
        for channel, seed in (("t1", 1), ("t2", 2)):
            write_nifti(f"two/{name}_{channel}.nii.gz", noisy(seed=seed))
    channels = {name: str(folder / f"two/*_{name}.nii.gz") for name in ("t1", "t2")}
    spec = spec_of(folder, volumes=None, channels=channels)
    expected = crops_of(found(spec))
    _, stored = filled(spec, folder)
    assert crops_of(found(stored))[0]["volume"].shape == (2, *PATCH)
    same(crops_of(found(stored)), expected, within=1e-4)


def test_what_is_rounded_is_said_and_by_how_much(folder: Path, write_nifti: Any) -> None:
    random = np.random.default_rng(0)
    shutil.rmtree(folder / "set")
    for name in "ab":
        write_nifti(f"set/{name}.nii", random.normal(size=(44, 44, 44)).astype(np.float32))
    spec = spec_of(folder, normalise="zscore")
    expected = crops_of(found(spec))
    result, stored = filled(spec, folder)
    entries = [sample.volume for sample in result.manifest.samples]
    assert {entry["dtype"] for entry in entries if entry} == {"uint16"}
    rounding = max(entry["rounding"] for entry in entries if entry)
    assert 0 < rounding < 2e-4
    with pytest.warns(DataWarning, match=rf"2 of 2 volumes .* to 16 bits, by {rounding:.2g} at"):
        volumes = found(stored)
    same(crops_of(volumes), expected, within=rounding)
    # Nothing rounded: nothing said.
    result, stored = filled(spec, folder, exact=True)
    entries = [sample.volume for sample in result.manifest.samples]
    assert {(entry["dtype"], entry["rounding"]) for entry in entries if entry} == {("float32", 0)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        same(crops_of(found(stored)), expected)


def test_bad_files_are_reported_as_by_runs_from_files(folder: Path, write_nifti: Any) -> None:
    write_nifti("set/p7_flat.nii", np.full((20, 20, 20), 3.0, dtype=np.float32))
    write_nifti("set/p8_2d.nii", np.zeros((20, 20), dtype=np.float32))
    spec = spec_of(folder)
    from_files = found(spec)
    expected = crops_of(from_files)
    for index in range(12, 30):
        from_files.training_crops(seed=1, extent=PATCH)[index]
    result, stored = filled(spec, folder)
    from_store = found(stored)
    same(crops_of(from_store), expected)
    for index in range(12, 30):
        from_store.training_crops(seed=1, extent=PATCH)[index]
    assert from_store.bad_files() == from_files.bad_files() == result.bad
    assert len(result.bad) == 2
    with pytest.raises(BadVolume, match="p8_2d"):
        found(stored.model_copy(update={"on_bad_file": "stop"}))


def test_another_spec_is_refused_with_both_values(folder: Path) -> None:
    spec = spec_of(folder, normalise="zscore")
    _, stored = filled(spec, folder)
    other = stored.model_copy(update={"spacing": (1.0, 1.0, 2.0), "exclude": ("x*",)})
    with pytest.raises(DataError) as refused:
        found(other)
    lines = str(refused.value).splitlines()
    assert f"{folder / 'store'}' was filled by another spec" in lines[0]
    assert lines[1:3] == [
        "  data.exclude: the store has [], the spec ['x*']",
        "  data.spacing: the store has none, the spec [1.0, 1.0, 2.0]",
    ]
    same_paths = DataSpec(**{**stored.model_dump(), "flips": (False,) * 3, "workers": 3})
    assert len(found(same_paths).listing.samples) == 6, "what is the run's own may differ"


def test_relative_paths_are_those_of_where_it_was_filled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    spec = spec_of(folder, volumes="set")
    expected = found(spec).listing
    fill_store(spec, store=Path("store"))
    stored = spec.model_copy(update={"store": "store"})
    assert found(stored).listing == expected
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    with pytest.raises(DataError, match=r"the store has '.*/set', the spec '.*/below/set'"):
        found(stored.model_copy(update={"store": str(folder / "store")}))


def test_no_path_is_forgotten() -> None:
    """A path of the data section is compared as a whole one, but patterns, which are ends."""
    hints = get_type_hints(DataSpec, include_extras=True)
    paths = {name for name, hint in hints.items() if "_as_text" in repr(hint)}
    assert paths - {"store", "exclude"} == set(PATHS)
    assert set(OF_RUNS) <= set(DataSpec.model_fields)


def test_a_run_goes_on_from_a_store(folder: Path) -> None:
    spec = spec_of(folder)
    before = found(spec)
    _, stored = filled(spec, folder)
    resumed = found(stored, earlier=Earlier(before.listing))
    assert resumed.resumed is not None
    assert resumed.resumed.changes == ""
    assert resumed.listing == before.listing
    same(crops_of(resumed), crops_of(before))


def test_what_is_no_finished_store_is_said(folder: Path) -> None:
    spec = spec_of(folder, store=str(folder / "nowhere"))
    with pytest.raises(DataError, match=r"nowhere is no store, it has no store\.json"):
        found(spec)
    (folder / "nowhere/volumes").mkdir(parents=True)
    with pytest.raises(DataError, match=r"nowhere is not finished, it has no store\.json"):
        found(spec)


def test_affines_are_those_of_the_files(folder: Path) -> None:
    spec = spec_of(folder, foreground={"margin": 1}, spacing=(1.0, 1.0, 1.0))
    _, stored = filled(spec, folder)
    from_files, from_store = found(spec), found(stored)
    for volumes in (from_files, from_store):
        volumes.read_held_out()
    source, again = from_files.held_out_files[0], from_store.held_out_files[0]
    affine = from_files.held_out_affine(source)
    assert np.array_equal(from_store.held_out_affine(again), affine)
    assert affine[:3, 3].min() > 0, "the box begins inside of the volume"
