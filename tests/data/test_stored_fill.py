"""Filling a store: what is finished stays, whatever happens; what has changed is made anew."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ssl3d.data import RunVolumes
from ssl3d.data.data_error import DataError
from ssl3d.data.preparation import prepare
from ssl3d.data.spec import DataSpec
from ssl3d.data.stored import one
from ssl3d.data.stored.fill import Filled, fill_store
from ssl3d.data.stored.manifest import Manifest
from ssl3d.data.stored.one import finished
from ssl3d.data.stored.progress import Rate
from ssl3d.data.stored.verify import verify


@pytest.fixture
def spec(tmp_path: Path, write_nifti: Callable[..., Path], noisy: Callable[..., Any]) -> DataSpec:
    """Of four volumes."""
    for name in "abcd":
        write_nifti(f"set/{name}.nii", noisy(seed=ord(name)))
    return DataSpec(volumes=str(tmp_path / "set"), patch=16, workers=0)


def fill(spec: DataSpec, tmp_path: Path, **options: Any) -> Filled:
    return fill_store(spec, store=tmp_path / "store", **options)


def names(samples: tuple[str, ...]) -> list[str]:
    return [Path(name).name for name in samples]


def test_the_manifest_says_what_was_done(spec: DataSpec, tmp_path: Path, write_nifti: Any) -> None:
    turned = np.diag([-1.0, -1.0, 2.0, 1.0])
    values = np.random.default_rng(0).integers(0, 99, (20, 24, 28)).astype(np.int16)
    write_nifti("set/e.nii", values, affine=turned)
    spec = spec.model_copy(update={"group_by": r"([a-e])\.nii"})
    fill(spec, tmp_path)
    sample = Manifest.read(tmp_path / "store").samples[4]
    assert (sample.source.name, sample.group, sample.visit) == (
        str(tmp_path / "set/e.nii"),
        "e",
        None,
    )
    (file,) = sample.listed.files
    stat = (tmp_path / "set/e.nii").stat()
    assert (file.size, file.modified) == (stat.st_size, stat.st_mtime_ns)
    assert sample.volume is not None
    assert sample.volume["shape"] == [1, 20, 24, 28]
    assert sample.volume["spacing"] == [2.0, 1.0, 1.0]
    assert np.diag(sample.volume["affine"]).tolist() == [1, 1, 2, 1]
    assert (sample.volume["dtype"], sample.volume["rounding"]) == ("uint16", 0)
    assert len(sample.volume["sha256"]) == 64
    assert sample.volume["kept"] == 1
    assert sample.volume["done"][0] == "turned from LPS to RAS, axes z, y, x"
    assert any(line.startswith('normalised: {"') for line in sample.volume["done"])


def test_a_second_time_nothing_is_prepared(
    spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fill(spec, tmp_path)
    assert (first.kept, first.made) == (0, 4)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store/volumes").iterdir()}

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it was prepared again")

    monkeypatch.setattr(one, "prepare", never)
    # Groups, sides and crops are no business of the voxels.
    again = fill(
        spec.model_copy(update={"group_by": r"([a-d])\.nii", "patch": (8, 8, 8)}), tmp_path
    )
    assert (again.kept, again.made, again.changed, again.gone) == (4, 0, (), ())
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "store/volumes").iterdir()}
    assert after == before
    assert [sample.group for sample in again.manifest.samples] == list("abcd")


def test_what_changed_is_made_anew_and_what_is_gone_leaves(
    spec: DataSpec, tmp_path: Path, write_nifti: Any, noisy: Any
) -> None:
    fill(spec, tmp_path)
    write_nifti("set/a.nii", noisy(seed=9))
    os.utime(tmp_path / "set/a.nii", ns=(1, 1))
    (tmp_path / "set/b.nii").rename(tmp_path / "b.nii")
    write_nifti("set/e.nii", noisy(seed=10))
    second = fill(spec, tmp_path)
    assert (second.kept, second.made) == (2, 2)
    assert names(second.changed) == ["a.nii"]
    assert names(second.gone) == ["b.nii"]
    assert names(tuple(s.source.name for s in second.manifest.samples)) == [
        f"{name}.nii" for name in "acde"
    ]
    # What is gone may come back, and is there still.
    assert len(verify(tmp_path / "store").extra) == 1
    (tmp_path / "b.nii").rename(tmp_path / "set/b.nii")
    third = fill(spec, tmp_path)
    assert (third.kept, third.made, third.changed, third.gone) == (5, 0, (), ())
    # Another way to prepare them: all anew, and the volumes of before are removed.
    fourth = fill(spec.model_copy(update={"spacing": (2.0, 2.0, 2.0)}), tmp_path)
    assert (fourth.kept, fourth.made, len(fourth.changed)) == (0, 5, 5)
    assert verify(tmp_path / "store").extra == ()


def test_bad_files_are_tried_again(spec: DataSpec, tmp_path: Path, write_nifti, noisy) -> None:
    write_nifti("set/e.nii", np.full((9, 9, 9), 3.0, dtype=np.float32))
    first = fill(spec, tmp_path)
    assert list(first.bad.values()) == [f"{tmp_path}/set/e.nii: no contrast: every voxel is 3"]
    assert first.manifest.samples[4].volume is None
    write_nifti("set/e.nii", noisy(seed=10))
    second = fill(spec, tmp_path)
    assert (second.kept, second.made, second.bad) == (4, 1, {})
    write_nifti("set/e.nii", np.full((9, 9, 9), 3.0, dtype=np.float32))
    with pytest.raises(DataError, match=r"set/e\.nii: no contrast"):
        fill(spec.model_copy(update={"on_bad_file": "stop"}), tmp_path)


def test_workers_make_the_same_store(spec: DataSpec, tmp_path: Path) -> None:
    fill(spec, tmp_path)
    before = signal.getsignal(signal.SIGCHLD)
    fill_store(spec, store=tmp_path / "other", workers=2)
    assert signal.getsignal(signal.SIGCHLD) is before
    one_by_one, together = (Manifest.read(tmp_path / name) for name in ("store", "other"))
    assert one_by_one == together
    for path in (tmp_path / "store/volumes").iterdir():
        assert path.read_bytes() == (tmp_path / "other/volumes" / path.name).read_bytes()


def test_a_file_that_changes_while_it_is_read_is_no_volume(
    spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturbed(source: Any, *, spec: DataSpec) -> Any:
        volume = prepare(source, spec=spec)
        if source.files[0].name == "b.nii":
            os.utime(source.files[0], ns=(5, 5))
        return volume

    monkeypatch.setattr(one, "prepare", disturbed)
    filled = fill(spec, tmp_path)
    assert filled.bad == {
        str(tmp_path / "set/b.nii"): f"{tmp_path}/set/b.nii: has changed while it was read"
    }
    assert len(list((tmp_path / "store/volumes").iterdir())) == 3


def _hang(ready: Any) -> None:
    ready.set()
    time.sleep(600)


def _killed_in_the_middle(spec: DataSpec, store: Path, moment: str, ready: Any) -> None:
    """Fill a store, and hang at a moment of the third volume."""
    count = 0
    write, append = one.write_volume, one._append

    def writing(path: Path, array: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        frame = write(path, array, **options)
        if count == 3 and moment == "half a volume":
            os.truncate(path, path.stat().st_size // 2)
            _hang(ready)
        return frame

    def appending(path: Path, entry: Any) -> None:
        if count == 3 and moment == "half a line":
            with path.open("ab") as file:
                file.write(b"\n" + json.dumps(entry).encode()[:99])
        if count == 3:
            _hang(ready)
        append(path, entry)

    one.write_volume, one._append = writing, appending
    fill_store(spec, store=store)


@pytest.mark.parametrize("moment", ["half a volume", "no line", "half a line"])
def test_a_kill_loses_nothing_finished_and_leaves_no_half(
    spec: DataSpec, tmp_path: Path, moment: str
) -> None:
    store, context = tmp_path / "store", multiprocessing.get_context("fork")
    ready = context.Event()
    victim = context.Process(target=_killed_in_the_middle, args=(spec, store, moment, ready))
    victim.start()
    assert ready.wait(60)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    known = finished(store)
    assert len(known) == 2
    with pytest.raises(DataError, match="is not finished"):
        RunVolumes(spec.model_copy(update={"store": str(store)})).find()
    again = fill_store(spec, store=store)
    assert (again.kept, again.made) == (2, 2)
    found = verify(store)
    assert found.whole
    assert found.extra == (), "nor anything unfinished"
    undisturbed = fill_store(spec, store=tmp_path / "other").manifest
    assert again.manifest == undisturbed


def test_a_process_that_dies_is_said(
    spec: DataSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(source: Any, *, spec: DataSpec) -> Any:
        if source.files[0].name == "c.nii":
            os.kill(os.getpid(), signal.SIGKILL)
        return prepare(source, spec=spec)

    monkeypatch.setattr(one, "prepare", dying)
    with pytest.raises(DataError, match=r"most often because memory ran out .*--workers \(now 2\)"):
        fill(spec, tmp_path, workers=2)
    monkeypatch.undo()
    assert fill(spec, tmp_path, workers=2).kept > 0


def test_a_store_that_cannot_be_written(spec: DataSpec, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file is in the way")
    with pytest.raises(DataError, match=r"data\.store: cannot write to .*store"):
        fill(spec, tmp_path)


def test_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("ssl3d.data.stored.progress.time", fake)

    def volumes() -> Iterator[int]:
        for number in range(3):
            clock.now += 16  # seconds each
            yield number

    out = StringIO()
    rate = Rate(4, kept=7, console=Console(file=out, width=200))
    assert list(rate.through(volumes())) == [0, 1, 2]
    assert out.getvalue().splitlines() == [
        "4 volumes to prepare, 7 are finished already",
        "2 of 4 volumes, 0.062 a second, 0:00:32 left",
    ]
    shown = Console(file=StringIO(), force_terminal=True, width=200)
    assert list(Rate(4, kept=0, console=shown).through(volumes())) == [0, 1, 2]
    assert "3/4" in shown.file.getvalue()
    assert "a second, 0:00:16 left" in shown.file.getvalue()
