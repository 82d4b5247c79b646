"""Links, hidden folders, names that are not UTF-8, and what is said about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from run_batches import first, found

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.disk_cache import DiskCache
from ssl3d.data.files import find_sources
from ssl3d.data.search import matches
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, split_sources
from ssl3d.data.volumes import RunVolumes

ODD = os.fsdecode(b"M\xfcller.nii.gz")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def find(root: Path, **options) -> tuple[list[str], list[str]]:
    """(names below root, what is said)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = find_sources(DataSpec(**{"volumes": str(root), **options}))
    # Others may come up while garbage of an earlier test is collected.
    lines = [str(warning.message) for warning in said if warning.category is DataWarning]
    return [os.path.relpath(s.files[0], root) for s in found], lines


@pytest.fixture(params=["", "/**/*", "/**/*.nii"], ids=["folder", "glob of all", "glob"])
def ways(request: pytest.FixtureRequest) -> Callable[[Path], tuple[list[str], list[str]]]:
    """A folder and a glob over it find the same."""
    return lambda root: find(root, volumes=f"{root}{request.param}")


def test_linked_folders_are_searched_once(tmp_path: Path, ways) -> None:
    root = tmp_path / "study"
    touch(tmp_path, "raw/s1/t1.nii", "raw/s2/t1.nii", "study/s3/t1.nii", "study/deep/er/t1.nii")
    for target, link in (
        ("raw/s1", "study/a"),
        ("raw", "study/b"),  # holds s1 once more
        ("study", "study/s3/loop"),
        ("study/deep", "study/0"),  # sorts before the real one
        ("raw", "raw/s2/loop"),
    ):
        os.symlink(tmp_path / target, tmp_path / link)
    found, said = ways(root)
    assert found == ["a/t1.nii", "b/s2/t1.nii", "deep/er/t1.nii", "s3/t1.nii"]
    assert said == []


def test_two_folders_of_links_to_each_other(tmp_path: Path, ways) -> None:
    """Without bookkeeping there are 2 ** 40 paths here."""
    for name in "ab":
        touch(tmp_path, f"{name}/x.nii")
        for other in "ab":
            os.symlink(tmp_path / other, tmp_path / name / f"to_{other}")
    assert ways(tmp_path) == (["a/x.nii", "b/x.nii"], [])


def test_a_pattern_is_met_through_a_link_to_a_folder_that_was_searched(tmp_path: Path) -> None:
    touch(tmp_path, "set/data/x.nii")
    os.symlink(tmp_path / "set/data", tmp_path / "set/anat")
    assert find(tmp_path, volumes=f"{tmp_path}/set/**/anat/*.nii")[0] == ["set/anat/x.nii"]


def test_what_leads_nowhere_is_named(tmp_path: Path, ways) -> None:
    touch(tmp_path, "a.nii")
    for name in ("gone.nii", "sub/gone.nii"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        os.symlink(tmp_path / "nowhere", tmp_path / name)
    os.symlink(tmp_path / "self.nii", tmp_path / "self.nii")
    found, said = ways(tmp_path)
    assert found == ["a.nii"]
    assert sorted(said) == [
        f"data: {tmp_path}/gone.nii is a link that leads nowhere (and so for 1 more)",
        f"data: {tmp_path}/self.nii cannot be looked at: Too many levels of symbolic links",
    ]


def test_folders_without_permission_are_named(tmp_path: Path, ways, monkeypatch) -> None:
    touch(tmp_path, "a/x.nii", "b/x.nii", "c/x.nii")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name in "bc":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    said = f"data: {tmp_path}/b cannot be searched: Permission denied (and so for 1 more)"
    assert ways(tmp_path) == (["a/x.nii"], [said])


def test_a_folder_that_cannot_be_searched_at_all(tmp_path: Path, monkeypatch) -> None:
    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", denied)
    with (
        pytest.warns(DataWarning, match=r"cannot be searched: Permission denied"),
        pytest.raises(DataError, match="holds 0 files"),
    ):
        find_sources(DataSpec(volumes=str(tmp_path)))
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(DataError, match=r"data\.volumes: .* cannot be read: Permission denied"):
        find_sources(DataSpec(volumes=str(tmp_path)))


def test_an_unreadable_file_is_a_bad_one(tmp_path: Path, monkeypatch) -> None:
    for i in range(3):
        array = np.random.default_rng(i).normal(size=(8, 8, 8))
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{i}.nii")
    opened = Path.open

    def guarded(path, *args, **kwargs):
        if path.name == "1.nii":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)
    volumes = found(DataSpec(volumes=str(tmp_path), patch=8, workers=0))
    name = f"{tmp_path}/1.nii"
    assert volumes.bad_files() == {name: f"{name}: cannot be read: Permission denied"}


def test_hidden_and_trash_folders_are_not_searched(tmp_path: Path, ways) -> None:
    hidden = (".snapshot/daily.0/x.nii", "sub/.git/annex/x.nii", ".Trash-1000/files/x.nii")
    touch(tmp_path, "x.nii", "sub/x.nii", "._x.nii", *hidden)
    touch(tmp_path, "$RECYCLE.BIN/x.nii", "#recycle/x.nii", "@eaDir/x.nii", "lost+found/x.nii")
    assert ways(tmp_path) == (["sub/x.nii", "x.nii"], [])
    # Hidden counts below what was given; and a pattern may spell it out.
    assert ways(tmp_path / ".snapshot")[0] == ["daily.0/x.nii"]
    assert find(tmp_path, volumes=f"{tmp_path}/.snap*/**/*.nii")[0] == [".snapshot/daily.0/x.nii"]
    # Files that are links into a hidden store, as git-annex has them, are files.
    os.symlink(tmp_path / "sub/.git/annex/x.nii", tmp_path / "annexed.nii")
    assert ways(tmp_path)[0] == ["annexed.nii", "sub/x.nii", "x.nii"]


def test_a_file_reached_twice_counts_once_under_the_name_given_first(tmp_path: Path) -> None:
    touch(tmp_path, "z/real.nii", "z/other.nii")
    os.symlink(tmp_path / "z/real.nii", tmp_path / "a.nii")
    for entries, name in (
        (["a.nii", "z"], "a.nii"),
        (["z", "a.nii"], "z/real.nii"),
        (["."], "z/real.nii"),  # a real one before a link
    ):
        found, said = find(tmp_path, volumes=[f"{tmp_path}/{entry}" for entry in entries])
        assert found == sorted([name, "z/other.nii"])
        (line,) = said
        assert "is another name of" in line
        assert "and counts once" in line
    assert find(tmp_path, volumes=[f"{tmp_path}/z", f"{tmp_path}/z/*.nii"])[1] == []


def test_exclude_says_how_many_each_pattern_leaves_out(tmp_path: Path) -> None:
    touch(tmp_path, "s1/t1.nii.gz", "s1/t1_seg.nii.gz", "s2/t1.nii.gz", "derivatives/a/b/t1.nii")
    patterns = ["*_seg.nii.gz", "derivatives/**", "nothing/*"]
    found, said = find(tmp_path, exclude=patterns)
    assert found == ["s1/t1.nii.gz", "s2/t1.nii.gz"]
    assert said == [
        "data.exclude: '*_seg.nii.gz' leaves out 1 of 4 samples",
        "data.exclude: 'derivatives/**' leaves out 1 of 3 samples",
        "data.exclude: 'nothing/*' leaves out 0 of 2 samples",
    ]
    assert find(tmp_path, exclude=[f"{tmp_path}/s?/*.gz"])[0] == ["derivatives/a/b/t1.nii"]
    with (
        pytest.warns(DataWarning, match="leaves out 4 of 4"),
        pytest.raises(DataError, match=r"data\.exclude: \['\*'\] leave out every sample"),
    ):
        find_sources(DataSpec(volumes=str(tmp_path), exclude=["*"]))
    channels = {name: f"{tmp_path}/*/{name}.nii.gz" for name in ("t1", "t2")}
    touch(tmp_path, "s1/t2.nii.gz", "s2/t2.nii.gz")
    found, _ = find(tmp_path, volumes=None, channels=channels, exclude=["s1/t2*"])
    assert found == ["s2/t1.nii.gz"]


@given(parts=st.lists(st.sampled_from(["a", "b", ".h"]), min_size=1, max_size=4))
def test_matching_equals_trying_every_way(parts: list[str]) -> None:
    def by_hand(names: list[str], pattern: list[str]) -> bool:
        if not pattern:
            return not names
        if pattern[0] == "**":
            return any(by_hand(names[i:], pattern[1:]) for i in range(len(names) + 1))
        return bool(names) and pattern[0] in ("*", names[0]) and by_hand(names[1:], pattern[1:])

    for pattern in ("a", "*", "a/b", "a/**", "**/b", "a/**/b", "**/a/**/b/**", "*/*", ".h/*"):
        expected = by_hand(parts, ["**", *pattern.split("/")])
        assert matches(Path(*parts), pattern) == expected, pattern


def test_names_that_are_not_utf8_are_used(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    for i, name in enumerate(("a.nii.gz", "b.nii.gz", "c.nii.gz", ODD)):
        array = np.random.default_rng(i).normal(size=(8, 8, 8))
        nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / "x.nii.gz")
        os.rename(tmp_path / "x.nii.gz", root / name)
    spec = DataSpec(
        volumes=str(root), patch=8, holdout=0, cache={"memory": 0, "folder": tmp_path / "cache"}
    )
    volumes = found(spec)
    names = {name for batch in first(volumes, 2) for name in batch.sources}
    assert f"{root}/M\\xfcller.nii.gz" in names
    assert DiskCache(spec).path(volumes.train_files[1]).exists()
    json.dumps(sorted(names), ensure_ascii=False).encode()
    assert volumes.bad_files() == {}

    held = found(spec.model_copy(update={"holdout": 0.75}))
    assert len(held.held_out_files) == 3
    # Damaged, it is named so that every terminal and file can show it.
    (root / ODD).write_bytes(b"no volume")
    volumes = found(spec)
    ((name, problem),) = volumes.bad_files().items()
    assert name == f"{root}/M\\xfcller.nii.gz"
    assert (name + problem).isascii()


def test_errors_with_such_names_can_be_printed(tmp_path: Path) -> None:
    touch(tmp_path, ODD)
    groups = tmp_path / "g.json"
    groups.write_text("{}")
    spec = DataSpec(volumes=str(tmp_path), group_file=groups)
    with pytest.raises(DataError, match="has no group") as caught:
        split_sources(find_sources(spec), spec=spec)
    str(caught.value).encode()
    # A spec cannot hold such a name: its folder or a glob can be given.
    with pytest.raises(ValidationError, match=r"M\\udcfcller.* is not UTF-8.* give its folder"):
        DataSpec(volumes=str(tmp_path / ODD))
    assert len(find_sources(DataSpec(volumes=f"{tmp_path}/M*.nii.gz"))) == 1


def test_label_maps_among_the_volumes_are_warned_about(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(3):
        image, labels = rng.normal(100, 20, (8, 8, 8)), rng.integers(0, 3, (8, 8, 8))
        for folder, array in (
            ("imagesTr", image.astype(np.int16)),
            ("labelsTr", labels.astype(np.uint8)),
            # Named so, but an image; and few values in a file that is not named so.
            ("masked", (image * 10).astype(np.int16)),
            ("binary", labels.astype(np.float32)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            nibabel.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / folder / f"{i}.nii.gz")
    nibabel.Nifti1Image((labels * 1.0).astype(np.float32), np.eye(4)).to_filename(
        tmp_path / "imagesTr/0_seg.nii.gz"
    )

    def said(**options) -> list[str]:
        volumes = RunVolumes(DataSpec(volumes=str(tmp_path), patch=8, **options))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            volumes.find()
        return [str(w.message) for w in caught]

    assert said() == [
        "data: 7 of 13 volumes are named like label maps, and 4 of 7 that were looked into hold "
        f"few whole numbers, such as {tmp_path}/imagesTr/0_seg.nii.gz: leave them out by "
        "data.exclude"
    ]
    excluded = said(exclude=["labelsTr/*", "*_seg.nii.gz"])
    assert not any("label maps" in line for line in excluded)


def test_hard_links_and_samples_of_channels_count_once(tmp_path: Path) -> None:
    touch(tmp_path / "set", "a_t1.nii.gz", "a_t2.nii.gz")
    for name in ("a_t1", "a_t2"):
        os.link(tmp_path / "set" / f"{name}.nii.gz", tmp_path / "set" / f"b{name[1:]}.nii.gz")
    folder = str(tmp_path / "set")
    found, said = find(tmp_path / "set")
    assert found == ["a_t1.nii.gz", "a_t2.nii.gz"]
    assert len(said) == 2
    stars = {"t1": f"{folder}/*_t1.nii.gz", "t2": f"{folder}/*_t2.nii.gz"}
    lists = {
        "t1": [f"{folder}/a_t1.nii.gz", f"{folder}/a_t1.nii.gz"],
        "t2": [f"{folder}/a_t2.nii.gz", f"{folder}/a_t2.nii.gz"],
    }
    for channels, line in ((stars, "is another name of"), (lists, "is given more than once")):
        with pytest.warns(DataWarning, match=f"{line}.* counts once"):
            sources = find_sources(DataSpec(channels=channels))
        assert [source.files[0].name for source in sources] == ["a_t1.nii.gz"]
    swapped = {"t1": lists["t1"], "t2": [lists["t2"][0], f"{folder}/a_t1.nii.gz"]}
    assert len(find_sources(DataSpec(channels=swapped))) == 2  # one file of two samples


def test_paths_are_seen_from_where_the_run_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative before, whole when it goes on: folders above count for neither."""
    begun = tmp_path / "sub-99" / "labels"
    touch(begun / "set", "sub-1/t1.nii.gz", "sub-2/t1.nii.gz")
    monkeypatch.chdir(begun)
    options = {"group_by": "(sub-[0-9])", "exclude": ["labels/**"]}
    for volumes in ("set", str(begun / "set")):
        spec = DataSpec(volumes=volumes, **options)
        with pytest.warns(DataWarning, match="leaves out 0 of 2"):
            sources = find_sources(spec, folder=begun)
        assert group_of(sources, spec=spec, folder=begun) == ["sub-1", "sub-2"]
        monkeypatch.chdir(tmp_path)


def test_names_that_the_locale_cannot_write_are_named(tmp_path: Path) -> None:
    """In a spec; those that are found below a folder work."""
    touch(tmp_path, "Müller.nii.gz")
    code = """
import sys
from ssl3d.data.files import find_sources
from ssl3d.data.spec import DataSpec
from ssl3d.data.volumes import RunVolumes
print(ascii(find_sources(DataSpec(volumes="."))[0].name))
try:
    DataSpec(volumes="M\\xfcller.nii.gz")
except ValueError as error:
    print("PYTHONUTF8=1" in str(error))
"""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["'M\\xfcller.nii.gz'", "True"]


def test_homes_that_are_not_known_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "~nobody.nii")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"home of a user that is not known"):
        DataSpec(volumes="~nobody.nii")
    assert len(find_sources(DataSpec(volumes=str(tmp_path / "~nobody.nii")))) == 1
