"""A run that goes on compares its files with those that it was begun with."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from rich.console import Console
from run_folders import assert_same_weights, on_a_cpu, rows_without_time, weights

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d.data import DataError, RunVolumes
from ssl3d.data.listing import Listing
from ssl3d.data.outline import outline
from ssl3d.files import host_name
from ssl3d.run.run_error import RunError

MakeSpec = Callable[..., ExperimentSpec]


@pytest.fixture
def work(volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with volumes of its own in `set`."""
    folder = tmp_path / "work"
    shutil.copytree(volumes, folder / "set")
    monkeypatch.chdir(folder)
    return folder


def half_done(spec: ExperimentSpec, out: Path) -> None:
    """A run that was killed after step 3 of 6; the whole one is beside it."""
    ssl3d.pretrain(spec, out=out)
    shutil.copytree(out, f"{out}-whole")
    (out / "checkpoints/step-000000006.ckpt").unlink()


def resume(spec: ExperimentSpec, out: Path, **options: Any) -> str:
    """Go on; what was printed."""
    console = Console(record=True, width=400)
    ssl3d.pretrain(spec, out=out, resume=True, console=console, **options)
    return console.export_text()


def assert_as_if_never_stopped(out: Path) -> None:
    whole = out.with_name(f"{out.name}-whole")
    assert_same_weights(weights(whole, step=6), weights(out, step=6))
    assert rows_without_time(whole) == rows_without_time(out)


def sides(out: Path) -> tuple[set[str], set[str]]:
    """Names of the files that are trained on and held out."""
    content = json.loads((out / "data.json").read_text())
    training, held_out = (
        {Path(f["path"]).name for s in content[side] if not s["missing"] for f in s["files"]}
        for side in ("training", "held_out")
    )
    return training, held_out


def add(folder: Path, *names: str) -> None:
    for name in names:
        shutil.copyfile(folder / "case0.nii.gz", folder / f"{name}.nii.gz")


def test_files_are_listed(make_spec: MakeSpec, work: Path, tmp_path: Path) -> None:
    spec = make_spec(
        data={"volumes": "set", "group_by": r"(case\d)", "holdout": 0.4}, trainer={"steps": 1}
    )
    ssl3d.pretrain(spec, out=tmp_path / "a")
    content = json.loads((tmp_path / "a/data.json").read_text())
    assert content["folder"] == str(work)
    assert [len(content[side]) for side in ("training", "held_out")] == [3, 2]
    for listed in content["training"] + content["held_out"]:
        (file,) = listed["files"]
        path = Path(file["path"])
        assert path.parent == work / "set"
        assert (file["size"], file["modified"]) == (path.stat().st_size, path.stat().st_mtime_ns)
        assert listed["group"] == path.name[:5]
    written = ExperimentSpec.load(tmp_path / "a/spec.yaml")
    assert written.data.volumes == str(work / "set")


def test_added_files_are_refused_or_accepted(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    """With a third more groups another one would be held out: one that was trained on."""
    spec = make_spec(data={"volumes": str(work / "set")}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    before = sides(tmp_path / "a")
    add(work / "set", *(f"new{i}" for i in range(9)))
    longer = spec.with_values({"trainer.steps": 2})
    with pytest.raises(DataError, match=r"added \(training\): .*new4.nii.gz\n.*: 4 more\n"):
        resume(longer, tmp_path / "a")
    assert sides(tmp_path / "a") == before
    said = resume(longer, tmp_path / "a", accept_changed_data=True)
    assert "Going on with other files than before:\n  added (training): " in said
    training, held_out = sides(tmp_path / "a")
    assert held_out == before[1]
    assert training == before[0] | {f"new{i}.nii.gz" for i in range(9)}
    # What was accepted is how the run is from now on.
    resume(spec.with_values({"trainer.steps": 3}), tmp_path / "a")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a name")
def test_names_that_are_no_utf8_can_be_said(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    spec = make_spec(data={"volumes": str(work / "set")}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    add(work / "set", os.fsdecode(b"caf\xe9"))
    said = resume(spec, tmp_path / "a", accept_changed_data=True)
    assert r"caf\xe9.nii.gz" in said
    assert "from before" not in resume(spec, tmp_path / "a")


def test_a_save_that_was_killed_leaves_nothing_for_long(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    ssl3d.pretrain(make_spec(trainer={"steps": 1}), out=tmp_path / "a")
    half = tmp_path / f"a/checkpoints/.step-000000002.ckpt.{host_name()}-{2**30}-0123abcd.tmp"
    half.write_bytes(b"half")
    resume(make_spec(trainer={"steps": 2}), tmp_path / "a")
    left = {path.name for path in (tmp_path / "a/checkpoints").iterdir()}
    assert left == {"step-000000001.ckpt", "step-000000002.ckpt"}


def test_missing_and_changed_files_are_refused_or_accepted(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    spec = make_spec(data={"volumes": str(work / "set")}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    training, held_out = sides(tmp_path / "a")
    gone, changed, broken = sorted(training)[:3]
    (work / "set" / gone).unlink()
    os.utime(work / "set" / changed)
    (work / "set" / broken).write_bytes(b"no volume")
    longer = spec.with_values({"trainer.steps": 2})
    with pytest.raises(DataError) as caught:
        resume(longer, tmp_path / "a")
    for line in (
        f"missing (training): {work}/set/{gone}",
        f"changed (training): {work}/set/{changed} was written since",
        f"not usable now (training): {work}/set/{broken}",
    ):
        assert line in str(caught.value)
    said = resume(longer, tmp_path / "a", accept_changed_data=True)
    assert f"missing (training): {work}/set/{gone}" in said
    assert sides(tmp_path / "a") == (training - {gone, broken}, held_out)


@pytest.mark.faults("resumed from another folder, with relative paths", "the same files, and equal")
def test_another_working_folder_means_the_same_files(
    make_spec: MakeSpec, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(data={"volumes": "set", "cache": {"folder": "cache"}})
    half_done(spec, tmp_path / "a")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(work / "set", elsewhere / "set")
    add(elsewhere / "set", "other")
    monkeypatch.chdir(elsewhere)
    for one in (spec, ExperimentSpec.load(tmp_path / "a/spec.yaml")):
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        assert "files" not in resume(one, tmp_path / "b")
        assert_same_weights(weights(tmp_path / "a-whole", step=6), weights(tmp_path / "b", step=6))
    assert os.listdir(elsewhere) == ["set"]


@pytest.mark.parametrize("keep_times", [True, False])
def test_data_that_moved(make_spec: MakeSpec, work: Path, tmp_path: Path, keep_times: bool) -> None:
    """Moved, or copied to another machine with new times: its new place is what the spec says."""
    spec = make_spec(data={"volumes": "set/*.nii.gz", "holdout": 0.4})
    half_done(spec, tmp_path / "a")
    shutil.move(work / "set", work / "new")
    if not keep_times:
        for path in (work / "new").iterdir():
            os.utime(path)
    with pytest.raises(DataError, match="work/set"):
        resume(spec, tmp_path / "a")
    moved = spec.with_values({"data.volumes": "new/*.nii.gz"})
    said = resume(moved, tmp_path / "a")
    assert f"data.volumes: was '{work}/set/*.nii.gz', is '{work}/new/*.nii.gz'" in said
    assert "5 volumes moved, such as" in said
    assert_as_if_never_stopped(tmp_path / "a")
    assert "volumes moved" not in resume(moved, tmp_path / "a")


def test_other_data_in_the_new_place_are_refused(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    spec = make_spec(data={"volumes": "set"}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    shutil.copytree(work / "set", work / "new")
    (work / "new/case0.nii.gz").write_bytes((work / "set/case1.nii.gz").read_bytes())
    with pytest.raises(DataError, match=r"changed .*new/case0.nii.gz has \d+ bytes, had \d+"):
        resume(spec.with_values({"data.volumes": "new"}), tmp_path / "a")


def test_files_put_into_folders_are_found_again(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    spec = make_spec(data={"volumes": "set"})
    half_done(spec, tmp_path / "a")
    for path in sorted((work / "set").iterdir()):
        folder = work / "set" / f"{9 - int(path.name[4])}"  # another order
        folder.mkdir()
        shutil.move(path, folder)
    assert "5 volumes moved" in resume(spec, tmp_path / "a")
    assert_as_if_never_stopped(tmp_path / "a")


def test_a_run_whose_list_of_files_is_gone(
    make_spec: MakeSpec, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert work == Path.cwd()
    spec = make_spec(data={"volumes": "set"})
    out = tmp_path / "a"
    with monkeypatch.context() as patch:
        patch.setattr("ssl3d.tasks.pretrain.run.absolute", lambda spec, folder: spec)  # noqa: ARG005
        half_done(spec, out)
    (out / "data.json").unlink()
    assert ExperimentSpec.load(out / "spec.json") == on_a_cpu(spec)
    assert "The list of this run's files, data.json, is gone" in resume(spec, out)
    assert_as_if_never_stopped(out)
    assert "is gone" not in resume(spec, out)
    assert sum(map(len, sides(out))) == 5


def test_channels_cannot_change_places(make_spec: MakeSpec, work: Path, tmp_path: Path) -> None:
    """A mapping in another order is the same spec to YAML, and other volumes to the network."""
    first = (work / "set/case0.nii.gz").read_bytes()
    for path in (work / "set").iterdir():
        path.write_bytes(first)  # channels must be alike in size
    files = sorted(str(path) for path in (work / "set").iterdir())
    channels = {"a": files, "b": [*files[1:], files[0]]}
    spec = make_spec(data={"volumes": None, "channels": channels}, trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    other = {"b": channels["b"], "a": channels["a"]}
    swapped = make_spec(data={"volumes": None, "channels": other}, trainer={"steps": 2})
    with pytest.raises(RunError, match=r"data.channels order: was 'a, b', is 'b, a'"):
        resume(swapped, tmp_path / "a")


def test_damaged_list_is_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(trainer={"steps": 1})
    ssl3d.pretrain(spec, out=tmp_path / "a")
    (tmp_path / "a/data.json").write_text("{")
    with pytest.raises(RunError, match=r"data.json, the list of the run's files, cannot be read"):
        resume(spec, tmp_path / "a")


def test_a_new_run_has_nothing_to_accept(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="accept_changed_data goes with resume"):
        ssl3d.pretrain(make_spec(), out=tmp_path / "a", accept_changed_data=True)
    assert not (tmp_path / "a").exists()


def test_relative_paths_mean_the_same_to_every_part_of_a_run(
    make_spec: MakeSpec, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Split, dry run, groups by folders above, probe and names, before and after a resume."""
    home = work / "sub-9"
    for i, name in enumerate(sorted(os.listdir(work / "set"))):
        (home / f"set/sub-{i}").mkdir(parents=True)
        shutil.move(work / "set" / name, home / f"set/sub-{i}/t1.nii.gz")
        image = nibabel.load(home / f"set/sub-{i}/t1.nii.gz")
        labels = nibabel.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), image.affine)
        (home / "lab").mkdir(exist_ok=True)
        labels.to_filename(home / f"lab/sub-{i}_l.nii.gz")
    monkeypatch.chdir(home)
    spec = make_spec(
        data={"volumes": "set", "exclude": ["work/**"], "group_by": "(sub-[0-9])", "holdout": 0.4},
        probe={"images": "set/*/t1.nii.gz", "labels": "lab/*_l.nii.gz", "group_by": "(sub-[0-9])"},
    )
    found = outline(spec.data)
    half_done(spec, tmp_path / "a")
    listing = json.loads((tmp_path / "a/data.json").read_text())
    sides = [[one["group"] for one in listing[side]] for side in ("training", "held_out")]
    assert tuple(map(len, sides)) == (found.training, found.held_out) == (3, 2)
    assert sorted(sides[0] + sides[1]) == [f"sub-{i}" for i in range(5)]
    monkeypatch.chdir(tmp_path)
    resume(spec, tmp_path / "a")
    assert_as_if_never_stopped(tmp_path / "a")
    for name in ("held_out.csv", "data.json"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "a-whole" / name).read_text()


def test_a_held_out_volume_that_cannot_be_read_keeps_its_side(
    make_spec: MakeSpec, work: Path, tmp_path: Path
) -> None:
    """It is listed; the run goes without it, again when it goes on."""
    spec = make_spec(data={"volumes": str(work / "set"), "holdout": 0.4})
    data = RunVolumes(spec.data)
    data.find()
    bad = data.held_out_files[0].files[0]
    content = bytearray(bad.read_bytes())
    content[-5] ^= 1  # of the checksum
    bad.write_bytes(bytes(content))
    out = tmp_path / "a"
    half_done(spec, out)
    listed = Listing.read(out / "data.json")
    held = [one.paths for one in listed.held_out]
    assert (str(bad),) in held
    assert len(held) == 2
    said = resume(spec, out)
    assert said.count(str(bad)) == 1  # not "Went without NAME: NAME: ..."
    assert "Going on with other files" not in said
    assert Listing.read(out / "data.json") == listed
    assert_as_if_never_stopped(out)
    os.utime(bad)  # as if it was put right
    with pytest.raises(DataError, match="was written since"):
        resume(spec, out)


def test_a_working_folder_that_is_not_utf8_is_named(
    make_spec: MakeSpec, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(work) + b"/M\xfcller"))
    shutil.copytree(work / "set", folder / "set")
    monkeypatch.chdir(folder)
    with pytest.raises(RunError, match=r"M\\xfcller, has a name that is not UTF-8"):
        ssl3d.pretrain(make_spec(data={"volumes": "set"}), out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    spec = make_spec(data={"volumes": f"{work}/M?ller/set/*.nii.gz"}, trainer={"steps": 1})
    console = Console(record=True, width=400)
    assert ssl3d.pretrain(spec, out="run", console=console).finished
    assert "M" in console.export_text()
