"""A damaged store is never read as if it were whole, and a store that is read is not written to."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_batches import found

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.disk_cache import FORMAT
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored.fill import Filled, fill_store
from ssl3d.data.stored.manifest import Manifest
from ssl3d.data.stored.verify import verify
from ssl3d.data.stored.volume import StoredVolume
from ssl3d.data.volume_file import Frame

SHAPE = (90, 80, 70)


@pytest.fixture
def store(tmp_path: Path, write_nifti: Callable[..., Path]) -> Path:
    """Of two volumes of noise, eight chunks each."""
    random = np.random.default_rng(0)
    for name in "ab":
        write_nifti(f"set/{name}.nii", random.integers(0, 2000, SHAPE).astype(np.int16))
    fill(tmp_path)
    return tmp_path / "store"


def spec_of(folder: Path, **options: Any) -> DataSpec:
    options = {"patch": (16, 16, 16), "holdout": 0, "workers": 0, **options}
    return DataSpec(volumes=str(folder / "set"), **options)


def fill(folder: Path) -> Filled:
    return fill_store(spec_of(folder), store=folder / "store")


def volumes_of(store: Path) -> list[StoredVolume]:
    """Opened anew, as another process would."""
    entries = [sample.volume for sample in Manifest.read(store).samples]
    return [
        StoredVolume(store / "volumes" / entry["file"], frame=Frame(**entry["frame"]), name="it")
        for entry in entries
        if entry is not None
    ]


def flip(path: Path, place: int) -> None:
    """Another bit at a place of a file."""
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    path.write_bytes(content)


def test_every_byte_is_watched(store: Path) -> None:
    """Whichever is another: it is never read as if nothing were."""
    volume, _ = volumes_of(store)
    whole = volume.read((0, 0, 0), SHAPE)
    path, content = volume.path, volume.path.read_bytes()
    random = np.random.default_rng(1)
    behind = [len(content) - place for place in (1, 40, 300, 2000)]
    for place in [0, 5, 20, 100, 190, *random.integers(0, len(content), 30).tolist(), *behind]:
        flip(path, place)
        again, _ = volumes_of(store)
        with pytest.raises(BadVolume, match="is damaged"):
            again.read((0, 0, 0), SHAPE)
        path.write_bytes(content)
    assert np.array_equal(volumes_of(store)[0].read((0, 0, 0), SHAPE), whole)


def test_a_damaged_chunk_is_named_and_harms_no_other(store: Path) -> None:
    volume, _ = volumes_of(store)
    good = volume.read((0, 0, 0), (40, 40, 40))
    flip(volume.path, volume._frame.stop - 100)  # of the last chunk
    volume, _ = volumes_of(store)
    assert np.array_equal(volume.read((0, 0, 0), (40, 40, 40)), good)
    with pytest.raises(BadVolume, match=r"it: its volume in the store, .*chunk 7 of 8 is damaged"):
        volume.read((60, 60, 60), (20, 20, 10))
    with pytest.raises(BadVolume, match="chunk 7"):
        volume.check()


def test_a_run_reports_it_as_a_bad_file(store: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, store=str(store), patch=(60, 60, 60))
    before = found(spec).training_crops(seed=0, extent=(60, 60, 60))
    expected = [before[i] for i in range(4)]
    damaged = volumes_of(store)[0]
    flip(damaged.path, damaged._frame.start + 100)  # of the first chunk
    volumes = found(spec)
    crops = volumes.training_crops(seed=0, extent=(60, 60, 60))
    made = [crops[i] for i in range(4)]
    assert {Path(crop["source"]).name for crop in expected} == {"a.nii", "b.nii"}
    assert {Path(crop["source"]).name for crop in made} == {"b.nii"}
    ((name, problem),) = volumes.bad_files().items()
    assert name == str(tmp_path / "set/a.nii")
    assert "chunk 0 of 8 is damaged. Remove it and fill the store again" in problem
    strict = found(spec.model_copy(update={"on_bad_file": "stop"}))
    crops = strict.training_crops(seed=0, extent=(60, 60, 60))
    with pytest.raises(BadVolume, match="chunk 0"):
        _ = crops[0], crops[1]


def test_held_out_volumes_are_read_before_a_run(store: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, store=str(store), holdout=0.5)
    (source,) = found(spec).held_out_files
    damaged = volumes_of(store)[source.name.endswith("b.nii")]
    flip(damaged.path, damaged._frame.stop - 100)
    volumes = found(spec)
    volumes.read_held_out()
    assert volumes.held_out_files == []
    assert "chunk 7 of 8 is damaged" in volumes.bad_files()[source.name]


def test_verify_names_what_is_damaged_missing_and_extra(store: Path, tmp_path: Path) -> None:
    assert verify(store).whole
    first, second = volumes_of(store)
    flip(first.path, first.path.stat().st_size // 2)
    second.path.unlink()
    (store / "volumes/notes.txt").write_text("mine")
    result = verify(store)
    assert result.damaged == (f"{first.path}, of {tmp_path}/set/a.nii",)
    assert result.missing == (f"{second.path}, of {tmp_path}/set/b.nii",)
    assert result.extra == (f"{store}/volumes/notes.txt",)
    assert not result.whole
    # What it says helps.
    first.path.unlink()
    assert fill(tmp_path).made == 2
    assert verify(store).whole


def test_a_damaged_manifest_is_refused(store: Path, tmp_path: Path) -> None:
    path = store / "store.json"
    text = path.read_text()
    for spoiled in (text[:-9], text.replace("uint16", "uint17"), "[]", f'{{"format": {FORMAT}}}'):
        path.write_text(spoiled)
        with pytest.raises(DataError, match=r"store\.json cannot be read"):
            found(spec_of(tmp_path, store=str(store)))
    path.write_text(text.replace(f'"format": {FORMAT}', '"format": 999'))
    with pytest.raises(DataError, match=rf"format 999, this version of ssl3d knows {FORMAT}: fill"):
        found(spec_of(tmp_path, store=str(store)))
    assert fill(tmp_path).kept == 2
    found(spec_of(tmp_path, store=str(store)))


READ = """
import sys
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(sys.argv[1]):
        opened.append((arguments[0], arguments[1], arguments[2]))
    if event in ("os.utime", "os.chmod", "os.remove", "os.rename", "os.mkdir"):
        assert not str(arguments[0]).startswith(sys.argv[1]), (event, arguments)
sys.addaudithook(watch)
from ssl3d.data import RunVolumes
"""


def test_a_read_only_store_is_read_by_several_runs(store: Path, tmp_path: Path) -> None:
    """By processes that may write nothing there; and nothing is opened for writing."""
    place = store.rename(tmp_path / "read-only")
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat() for path in (place, *place.rglob("*"))}
    code = (
        READ
        + f"""
import os
from ssl3d.data.spec import DataSpec
spec = DataSpec(volumes={str(tmp_path / "set")!r}, store=sys.argv[1], patch=16, workers=2)
volumes = RunVolumes(spec)
volumes.find()
try:
    open(sys.argv[1] + "/new", "w")
except PermissionError:
    opened.clear()
crops = volumes.training_crops(seed=0, extent=(16, 16, 16))
held_out = volumes.held_out_crops(extent=(16, 16, 16))
print(sum(float(crops[i]["volume"].sum()) for i in range(4)) + float(held_out[0]["volume"].sum()))
assert opened, "the watch saw nothing"
for path, mode, flags in opened:
    assert not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), (path, mode, flags)
"""
    )
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    mortal = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    runs = [
        subprocess.Popen(
            [*mortal, sys.executable, "-c", code, str(place)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    done = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], done
    assert done[0][0] == done[1][0]
    assert float(done[0][0]) > 0
    after = {path: path.stat() for path in (place, *place.rglob("*"))}
    changed = [p for p in before if before[p].st_mtime_ns != after[p].st_mtime_ns]
    assert (set(after), changed) == (set(before), [])
    for path in (place, *place.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
