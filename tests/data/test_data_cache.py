"""The cache on disk has a bound, and several runs may share it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl3d.data.cache_folder import cached_volumes, make_room, note_use
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.disk import DiskVolume
from ssl3d.data.files import find_sources
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import VolumeStore
from ssl3d.files import host_name

GIB = 2**30

Names = list[str]


def cached(folder: Path, *sizes: int) -> list[Path]:
    """Files of a cache, used one after the other."""
    paths = [folder / f"{number:032x}.b2nd" for number in range(len(sizes))]
    for number, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        path.write_bytes(bytes(size))
        os.utime(path, (1000 + number, 1000 + number))
    return paths


def test_those_go_whose_use_is_longest_ago(tmp_path: Path) -> None:
    paths = cached(tmp_path, 5, 4, 3, 2)
    (tmp_path / "mine.b2nd").write_bytes(bytes(100))
    note_use(paths[0])
    removed = make_room(tmp_path, limit=7, keep=paths[1])
    assert [volume.path for volume in removed] == [paths[2], paths[3], paths[0]]
    assert [volume.path for volume in cached_volumes(tmp_path)] == [paths[1]]
    assert (tmp_path / "mine.b2nd").exists()


def test_room_is_made_only_where_it_is_needed(tmp_path: Path) -> None:
    paths = cached(tmp_path, 5, 4, 3, 2)
    assert make_room(tmp_path, limit=14, keep=paths[0]) == []
    assert [one.path for one in make_room(tmp_path, limit=9, keep=paths[3])] == [paths[0]]
    assert cached_volumes(tmp_path / "not there") == []


@pytest.fixture
def sources(tmp_path: Path, write_nifti: Callable[..., Path], noisy: Callable[..., Any]) -> Any:
    """Four volumes that take about the same."""
    for name in "abcd":
        write_nifti(f"set/{name}.nii", noisy())
    return find_sources(spec(tmp_path))


def spec(tmp_path: Path, **cache: float) -> DataSpec:
    folder = str(tmp_path / "cache")
    return DataSpec(volumes=str(tmp_path / "set"), cache={"folder": folder, "memory": 0, **cache})


def values(store: VolumeStore, source: Source) -> bytes:
    """All voxels of a volume, through the cache."""
    volume = store.volume(source)
    assert isinstance(volume, DiskVolume)
    return volume.load().values.tobytes()


def disk(tmp_path: Path) -> int:
    return sum(volume.nbytes for volume in cached_volumes(tmp_path / "cache"))


def test_a_bound_that_is_too_small_costs_time_and_no_voxel(
    tmp_path: Path, sources: list[Source], caplog: pytest.LogCaptureFixture
) -> None:
    whole = VolumeStore(spec(tmp_path))
    right = [values(whole, source) for source in sources]
    limit = 0.6 * disk(tmp_path)
    store = VolumeStore(spec(tmp_path, disk=limit / GIB))
    assert disk(tmp_path) <= limit
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for source, expected in zip(sources, right, strict=True):
                assert values(store, source) == expected
                assert disk(tmp_path) <= limit
    # The first store had them all on disk, and knows of no bound.
    assert [values(whole, source) for source in sources] == right
    assert all("anew: it was removed" in message for message in caplog.messages)
    assert "raise data.cache.disk" in caplog.messages[0]


def test_each_store_says_once_that_it_prepares_anew(
    tmp_path: Path, sources: list[Source], caplog: pytest.LogCaptureFixture
) -> None:
    store = VolumeStore(spec(tmp_path))
    for source in sources:
        store.volume(source)
    for volume in cached_volumes(tmp_path / "cache"):
        volume.path.unlink()
    for source in sources:
        values(store, source)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"Preparing {sources[0].name} anew: it was removed from ")


def test_a_store_that_knows_its_volumes_crosses_into_a_worker(
    tmp_path: Path, sources: list[Source]
) -> None:
    store = VolumeStore(spec(tmp_path))
    right = values(store, sources[0])
    for volume in cached_volumes(tmp_path / "cache"):
        volume.path.unlink()
    assert values(pickle.loads(pickle.dumps(store)), sources[0]) == right


def test_a_removed_volume_whose_file_has_changed_is_named(
    tmp_path: Path, sources: list[Source]
) -> None:
    """Other voxels must not get the name of the old ones."""
    store = VolumeStore(spec(tmp_path))
    volume = store.volume(sources[0])
    assert isinstance(volume, DiskVolume)
    volume.path.unlink()
    os.utime(sources[0].files[0], (0, 0))
    with pytest.raises(BadVolume, match=r"a\.nii: has changed since this run began to read it"):
        volume.read((0, 0, 0), (4, 4, 4))
    assert not volume.path.exists()


def test_a_volume_larger_than_the_bound_is_named(tmp_path: Path, sources: list[Source]) -> None:
    small = spec(tmp_path, disk=1e-6)
    with pytest.raises(DataError, match=r"data\.cache\.disk: a prepared volume takes .* raise it"):
        VolumeStore(small).volume(sources[0])
    assert os.listdir(tmp_path / "cache") == []


def test_what_a_killed_writer_left_behind_goes(tmp_path: Path, sources: list[Source]) -> None:
    (tmp_path / "cache").mkdir()
    name = f"{0:032x}.b2nd"
    left = tmp_path / "cache" / f".{name}.{host_name()}-{2**30}-0123abcd.tmp"
    left.write_bytes(b"half")
    VolumeStore(spec(tmp_path)).volume(sources[0])
    assert not left.exists()


def _read_all(folder: Path, limit: float, seed: int, errors: Any) -> None:
    one = spec(folder, disk=limit / GIB)
    sources, rng = find_sources(one), np.random.default_rng(seed)
    store, right = VolumeStore(one), VolumeStore(spec(folder, memory=1.0))
    for number in rng.integers(len(sources), size=40):
        source = sources[number]
        found = store.volume(source).read((0, 0, 0), (8, 8, 8))
        if not np.array_equal(found, right.volume(source).read((0, 0, 0), (8, 8, 8))):
            errors.put(source.name)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove open files")
def test_several_runs_share_a_folder_that_is_too_small(
    tmp_path: Path, sources: list[Source]
) -> None:
    for source in sources:
        VolumeStore(spec(tmp_path)).volume(source)
    limit = 0.6 * disk(tmp_path)
    context = multiprocessing.get_context("fork")
    errors = context.Queue()
    runs = [
        context.Process(target=_read_all, args=(tmp_path, limit, seed, errors)) for seed in range(3)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert errors.empty()
