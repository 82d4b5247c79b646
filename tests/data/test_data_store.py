"""The cache: what it gives back, how much memory it takes, how much of a file a crop reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl3d.data import disk_cache as disk_module
from ssl3d.data import store as store_module
from ssl3d.data.box import cut
from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.disk import DiskVolume
from ssl3d.data.disk_cache import DiskCache, cache_folder
from ssl3d.data.files import find_sources
from ssl3d.data.listing import listed
from ssl3d.data.preparation import prepare
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.store import MemoryVolume, VolumeStore

GIB = 2**30


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the volumes that were prepared, in order."""
    names: list[str] = []

    def prepare_and_count(source: Source, *, spec: DataSpec):
        names.append(source.files[0].name)
        return prepare(source, spec=spec)

    monkeypatch.setattr(store_module, "prepare", prepare_and_count)
    return names


def spec_for(tmp_path: Path, **options) -> DataSpec:
    cache = {"folder": str(tmp_path / "cache"), "memory": options.pop("memory", 0.0)}
    return DataSpec(volumes=str(tmp_path / "set"), cache=cache, **options)


def test_disk_equals_memory_bitwise(tmp_path, write_nifti, noisy) -> None:
    array = noisy((70, 33, 90))
    array[3, 3, 3] = np.nan
    write_nifti("set/a.nii.gz", array)
    (source,) = find_sources(spec_for(tmp_path))
    on_disk = VolumeStore(spec_for(tmp_path)).volume(source)
    in_memory = VolumeStore(spec_for(tmp_path, memory=1.0)).volume(source)
    assert isinstance(on_disk, DiskVolume)
    assert isinstance(in_memory, MemoryVolume)
    assert on_disk.shape == in_memory.shape == (1, 70, 33, 90)
    assert np.array_equal(on_disk.points, in_memory.points)
    for corner in ((0, 0, 0), (-5, 20, 61), (64, -3, 10)):
        crop, other = (cut(v, corner=corner, patch=(40, 40, 40)) for v in (on_disk, in_memory))
        assert crop.tobytes() == other.tobytes()
    # The values of a volume that was prepared now, not of one that came back from disk.
    fresh = prepare(source, spec=spec_for(tmp_path)).values
    assert on_disk.load().values.tobytes() == fresh.tobytes()


def test_memory_stays_within_the_bound_and_nothing_is_prepared_twice(
    tmp_path, write_nifti, noisy, counted
) -> None:
    for i in range(6):
        write_nifti(f"set/{i}.nii", noisy(seed=i))
    size = 20 * 24 * 28 * 4 + 1024 * 3 * 4
    spec = spec_for(tmp_path, memory=2.5 * size / GIB)
    store = VolumeStore(spec)
    for source in find_sources(spec) * 2:
        store.volume(source)
    kinds = [type(store.volume(source)) for source in find_sources(spec)]
    assert kinds == [MemoryVolume] * 2 + [DiskVolume] * 4
    assert 0 < store.nbytes <= 2.5 * size
    assert counted == [f"{i}.nii" for i in range(6)]

    # Another process finds what the first left on disk, and shares the bound with it.
    half = VolumeStore(spec, share=2)
    kinds = [type(half.volume(source)) for source in find_sources(spec)]
    assert kinds == [MemoryVolume] + [DiskVolume] * 5
    assert counted[6:] == ["0.nii", "1.nii"]
    # A volume that is on disk is taken into memory where there is room.
    roomy = VolumeStore(spec_for(tmp_path, memory=1.0))
    assert {type(roomy.volume(source)) for source in find_sources(spec)} == {MemoryVolume}
    assert counted[8:] == ["0.nii"]


def test_a_changed_file_or_other_options_are_prepared_anew(
    tmp_path, write_nifti, noisy, counted
) -> None:
    path = write_nifti("set/a.nii", noisy(seed=1))
    (source,) = find_sources(spec_for(tmp_path))

    def values(**options) -> np.ndarray:
        volume = VolumeStore(spec_for(tmp_path, **options)).volume(source)
        assert isinstance(volume, DiskVolume)
        return volume.load().values

    first = values()
    assert np.array_equal(values(patch=(8, 8, 8), batch_size=7), first)
    assert len(counted) == 1
    assert not np.array_equal(values(normalise="zscore"), first)
    assert values(spacing=(2, 2, 2)).shape == (1, 10, 12, 14)
    values(foreground={"threshold": "none"})
    assert len(counted) == 4
    write_nifti("set/a.nii", noisy(seed=2))
    os.utime(path, ns=(1, 1))
    assert not np.array_equal(values(), first)
    path.unlink()
    with pytest.raises(BadVolume, match=r"a\.nii: cannot be read: No such file"):
        values()


def spoil(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "no array": b"not an array",
        "empty": b"",
        "cut": content[:middle],
        "longer": content + bytes(7),
        "zero page": content[:middle] + bytes(4096) + content[middle + 4096 :],
        "one bit": content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :],
        "checksum": content[:-1] + bytes([content[-1] ^ 1]),
    }[how]


@pytest.mark.parametrize("memory", [0.0, 1.0])
@pytest.mark.parametrize(
    "how", ["no array", "empty", "cut", "longer", "zero page", "one bit", "checksum"]
)
def test_a_damaged_entry_is_prepared_anew(
    tmp_path, write_nifti, noisy, caplog, how: str, memory: float
) -> None:
    """Whatever the damage, and whether or not the volume fits into memory; said once."""
    write_nifti("set/a.nii", noisy((32, 32, 32)))
    (source,) = find_sources(spec_for(tmp_path))
    stored = VolumeStore(spec_for(tmp_path)).volume(source)
    assert isinstance(stored, DiskVolume)
    good, content = stored.load().values, stored.path.read_bytes()
    damaged = spoil(content, how)
    assert damaged != content
    stored.path.write_bytes(damaged)
    for _ in range(2):
        volume = VolumeStore(spec_for(tmp_path, memory=memory)).volume(source)
        assert np.array_equal(volume.read((0, 0, 0), (32, 32, 32)), good)
    assert caplog.messages == [f"Preparing {source.name} anew: {stored.path} is damaged"]
    left = [path.name for path in stored.path.parent.iterdir()]
    assert left == ([stored.path.name] if memory == 0 else [])


def test_an_entry_is_verified_once_a_process(tmp_path, write_nifti, noisy, monkeypatch) -> None:
    write_nifti("set/a.nii", noisy())
    spec = spec_for(tmp_path)
    (source,) = find_sources(spec)
    VolumeStore(spec).volume(source)
    verified: list[str] = []
    intact = disk_module._intact
    monkeypatch.setattr(
        disk_module, "_intact", lambda file: (verified.append(file.name), intact(file))[1]
    )
    store = VolumeStore(spec)
    for _ in range(3):
        store.volume(source).read((0, 0, 0), (8, 8, 8))
    assert verified == [str(store.volume(source).path)]


def test_an_entry_that_is_damaged_during_a_run_is_named(tmp_path, write_nifti, noisy) -> None:
    write_nifti("set/a.nii", noisy())
    (source,) = find_sources(spec_for(tmp_path))
    volume = VolumeStore(spec_for(tmp_path)).volume(source)
    volume.path.write_bytes(b"no array")
    with pytest.raises(DataError, match=rf"{volume.path.name}' cannot be read any more"):
        cut(volume, corner=(0, 0, 0), patch=(8, 8, 8))


def test_cache_folder_that_cannot_be_written_is_said(tmp_path, write_nifti, noisy) -> None:
    write_nifti("set/a.nii", noisy())
    (tmp_path / "cache").write_text("a file is in the way")
    spec = spec_for(tmp_path)
    with pytest.raises(DataError, match=r"data\.cache\.folder: cannot write to .*cache'"):
        VolumeStore(spec).volume(find_sources(spec)[0])


def test_default_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(DataSpec(volumes="x")) == tmp_path / "ssl3d" / "volumes"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(DataSpec(volumes="x")) == Path.home() / ".cache" / "ssl3d" / "volumes"


@pytest.mark.skipif(sys.platform != "linux", reason="bytes read are counted by Linux only")
def test_a_crop_reads_only_the_chunks_that_it_touches(tmp_path, write_nifti) -> None:
    noise = np.random.default_rng(0).normal(size=(160, 160, 160)).astype(np.float32)
    write_nifti("set/a.nii", noise)
    spec = spec_for(tmp_path, normalise="zscore", foreground={"threshold": "none"})
    volume = VolumeStore(spec).volume(find_sources(spec)[0])
    assert isinstance(volume, DiskVolume)

    def read_bytes() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = read_bytes()
    volume.read((70, 70, 70), (32, 32, 32))
    used = read_bytes() - before
    # One of 27 chunks of random numbers, 1 MB, of which not all blocks are touched.
    assert used < 1.2 * 64**3 * 4
    assert volume.path.stat().st_size > 10 * used


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_a_change_of_the_file_that_holds_the_voxels_is_one(tmp_path: Path, ending: str) -> None:
    pytest.importorskip({"mha": "itk", "nrrd": "nrrd"}[ending])
    heads = {
        "mha": "NDims = 3\nDimSize = 8 8 8\nElementType = MET_FLOAT\nElementDataFile = a.raw\n",
        "nrrd": "NRRD0004\ntype: float\ndimension: 3\nsizes: 8 8 8\nspacings: 1 1 1\n"
        "endian: little\nencoding: raw\ndata file: a.raw\n",
    }
    (tmp_path / f"a.{ending}").write_text(heads[ending])
    beside = tmp_path / "a.raw"
    random = np.random.default_rng(0)
    spec = DataSpec(volumes=str(tmp_path / f"a.{ending}"), cache={"folder": tmp_path / "cache"})
    source = Source((tmp_path / f"a.{ending}",))
    beside.write_bytes(random.normal(size=(8, 8, 8)).astype("<f4").tobytes())
    before = DiskCache(spec).path(source), listed([source], groups=[None])
    assert (DiskCache(spec).path(source), listed([source], groups=[None])) == before
    beside.write_bytes(random.normal(size=(8, 8, 8)).astype("<f4").tobytes())
    os.utime(beside, ns=(0, 10**18 * 2))
    after = DiskCache(spec).path(source), listed([source], groups=[None])
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_damaged_entry_that_was_replaced_meanwhile_stays(
    tmp_path, write_nifti, noisy, monkeypatch
) -> None:
    """Another process was quicker to prepare it anew."""
    write_nifti("set/a.nii.gz", noisy())
    spec = spec_for(tmp_path)
    (source,) = find_sources(spec)
    cache = DiskCache(spec)
    path, volume = cache.path(source), prepare(source, spec=spec)
    cache.write(path, volume)
    good = path.read_bytes()
    path.write_bytes(good[:-1])

    def replaced(file) -> bool:  # noqa: ARG001
        cache.write(path, volume)
        return False

    monkeypatch.setattr(disk_module, "_intact", replaced)
    assert not cache.find(path, source=source)
    assert path.read_bytes() == good
