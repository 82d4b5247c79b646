"""Which files a spec stands for, and which of them are held out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d.data.data_error import DataError
from ssl3d.data.files import find_sources
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, split_sources


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.nii.gz", "a.nii", "deep/er/c.NII.GZ", "._a.nii", "notes.txt"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(spec: DataSpec) -> list[str]:
    return [source.name for source in find_sources(spec)]


def test_folder_glob_and_list(folder: Path) -> None:
    everything = ["set/a.nii", "set/b.nii.gz", "set/deep/er/c.NII.GZ"]
    assert names(DataSpec(volumes="set")) == everything
    assert names(DataSpec(volumes=str(folder / "set"))) == [str(folder / n) for n in everything]
    assert names(DataSpec(volumes="set/*.nii*")) == everything[:2]
    assert names(DataSpec(volumes="set/**/*")) == everything
    assert names(DataSpec(volumes="set/a.nii")) == everything[:1]
    # A file that is named twice is one sample.
    assert names(DataSpec(volumes=["set/deep", "set/a.nii", "set/a*"])) == everything[::2]


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ("nowhere", r"no file 'nowhere' \(seen from"),
        ("empty", r"folder 'empty' holds 0 files, none of them a volume \(\.nii\.gz"),
        ("set/*.txt", r"glob 'set/\*\.txt' matches 1 files, none of them a volume"),
        ("set/notes.txt", r"'set/notes.txt' is no volume: known endings are"),
        (["set", "set/z.nii"], r"no file 'set/z.nii'"),
    ],
)
def test_nothing_found_is_said(folder: Path, volumes, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        find_sources(DataSpec(volumes=volumes))


def test_channels_belong_together_by_their_stars(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for case in ("s1/x", "s1/y", "s2/x"):
        for end in ("_t1.nii.gz", "_t2.nii.gz"):
            (tmp_path / "in" / f"{case}{end}").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / f"{case}{end}").touch()
    spec = DataSpec(channels={"t2": "in/*/*_t2.nii.gz", "t1": "in/*/*_t1.nii.gz"})
    assert [[str(f) for f in source.files] for source in find_sources(spec)] == [
        [f"in/{case}_t2.nii.gz", f"in/{case}_t1.nii.gz"] for case in ("s1/x", "s1/y", "s2/x")
    ]
    listed = DataSpec(channels={"a": ["in/s1/x_t1.nii.gz"], "b": ["in/s2/x_t1.nii.gz"]})
    assert [len(source.files) for source in find_sources(listed)] == [2]

    (tmp_path / "in/s1/x_t1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 samples have not every channel: s1/x lacks t1\. Add"):
        find_sources(spec)
    with pytest.raises(DataError, match=r"data\.channels\.t1: 'out/\*' matches no file"):
        find_sources(DataSpec(channels={"t1": "out/*"}))


def sources(count: int, pattern: str = "case_{:03d}.nii.gz") -> list[Source]:
    return [Source((Path("/data/set") / pattern.format(i),)) for i in range(1, count + 1)]


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 60), holdout=st.floats(0, 0.99), size=st.integers(1, 4))
def test_groups_stay_whole_and_the_share_is_met(count: int, holdout: float, size: int) -> None:
    found = [Source((Path(f"/d/sub-{i // size:02d}_run-{i}.nii"),)) for i in range(count)]
    spec = DataSpec(volumes="x", holdout=holdout, group_by=r"(sub-\d+)")
    train, held = split_sources(found, spec=spec)
    assert sorted(train + held, key=found.index) == found
    groups = dict(zip(found, group_of(found, spec=spec), strict=True))
    assert not {groups[s] for s in train} & {groups[s] for s in held}
    total = len(set(groups.values()))
    expected = 0 if holdout == 0 or total == 1 else max(1, round(holdout * total))
    assert len({groups[s] for s in held}) == min(expected, total - 1)


def test_split_does_not_depend_on_the_folder_or_the_other_files() -> None:
    spec = DataSpec(volumes="x", holdout=0.2)
    held = split_sources(sources(40), spec=spec)[1]
    moved = [Source((Path("/elsewhere/data/set") / s.files[0].name,)) for s in sources(40)]
    moved_held = split_sources(moved, spec=spec)[1]
    assert [s.files[0].name for s in moved_held] == [s.files[0].name for s in held]
    kept = set(held) & set(split_sources(sources(41), spec=spec)[1])
    assert len(kept) >= len(held) - 1


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize("ending", ["", ".nii.gz"])
def test_groups_from_a_file(tmp_path: Path, kind: str, ending: str) -> None:
    mapping = {f"case_{i:03d}{ending}": (i + 1) // 2 for i in range(1, 9)}
    path = tmp_path / f"groups.{kind}"
    lines = "".join(f"{name},{group}\n" for name, group in mapping.items())
    path.write_text(json.dumps(mapping) if kind == "json" else "name,group\n" + lines)
    spec = DataSpec(volumes="x", group_file=path, holdout=0.25)
    assert group_of(sources(8), spec=spec) == ["1", "1", "2", "2", "3", "3", "4", "4"]
    assert [len(part) for part in split_sources(sources(8), spec=spec)] == [6, 2]
    with pytest.raises(DataError, match=r"no group for 1 of 9 files, such as case_009"):
        split_sources(sources(9), spec=spec)


def test_grouping_that_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\(sub\)' names no group in '/data/set/case_001"):
        group_of(sources(1), spec=DataSpec(volumes="x", group_by="(sub)"))
    bad = tmp_path / "g.csv"
    bad.write_text("file,subject\na,b\n")
    with pytest.raises(DataError, match=r"columns \['file', 'subject'\]: name and group"):
        group_of(sources(1), spec=DataSpec(volumes="x", group_file=bad))
    for text, message in (("{", "is not JSON"), ("[1]", "holds no object")):
        (tmp_path / "g.json").write_text(text)
        with pytest.raises(DataError, match=message):
            group_of(sources(1), spec=DataSpec(volumes="x", group_file=tmp_path / "g.json"))
    with pytest.raises(DataError, match=r"none\.json' cannot be read"):
        group_of(sources(1), spec=DataSpec(volumes="x", group_file=tmp_path / "none.json"))


def test_expression_falls_back_to_the_path() -> None:
    found = [Source((Path(f"/d/sub-0{i}/t1.nii"),)) for i in (1, 2)]
    assert group_of(found, spec=DataSpec(volumes="x", group_by=r"(sub-\d+)")) == [
        "sub-01",
        "sub-02",
    ]
