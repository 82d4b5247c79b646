"""Groups: a file that is read right or refused in one line, and nobody on both sides of a split."""

from __future__ import annotations

import json
import unicodedata
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl3d.data.data_error import DataError
from ssl3d.data.files import find_sources
from ssl3d.data.source import Source
from ssl3d.data.spec import DataSpec
from ssl3d.data.split import group_of, split_sources

SITES = [Source((Path(f"/data/{site}/{i:03d}.nii.gz"),)) for site in "ab" for i in range(2)]
ONE, TWO = SITES[:2]


def groups(content: bytes | str, folder: Path, *, sources=SITES[:2], name="g.csv") -> list[str]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return group_of(sources, spec=DataSpec(volumes="x", group_file=path))


TABLE = "name,group\n000,José\n001.nii.gz,2\n"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (TABLE, "g.csv"),
        (TABLE.encode("utf-8-sig"), "g.csv"),
        (TABLE.encode("utf-16"), "g.csv"),
        (unicodedata.normalize("NFD", TABLE), "g.csv"),
        (TABLE.replace(",", ";"), "g.CSV"),
        (TABLE.replace(",", "\t"), "g.tsv"),
        (TABLE.replace("\n", "\r\n"), "g.csv"),
        (TABLE.replace(",", " , ").replace("\n", "  \n\n"), "g.csv"),
        ('age,"group",name\n7,José,"a/000"\n8,2,/data/a/001.nii.gz\n', "g.csv"),
        ("name,group,note\n000,José\n001,2,\n", "g.csv"),
        (TABLE + "000.nii.gz,José\n./a/000,José\n", "g.csv"),
        ('{"000": "José", "001.nii.gz": 2}', "g.json"),
        ('{" 000 ": " José", "001": "2 ", "001.nii.gz": "2"}'.encode("utf-8-sig"), "g.json"),
    ],
)
def test_what_is_clear_is_read(content, name: str, tmp_path: Path) -> None:
    assert groups(content, tmp_path, name=name) == ["José", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,group\n000,A\n001,B\n000,B\n", "gives '000' the groups 'A' and 'B': where files"),
        ("name,group\n000,A\n001,B\n000.nii.gz,B\n", "gives /data/a/000.nii.gz the groups 'A' and"),
        ("name,group\n000,A\n001,\n", "gives '001' no group, line 3"),
        ("name,group\n000,A\n001\n", "gives '001' no group, line 3"),
        ("name,group\n000,A\n001,n/a\n", "gives '001' no group, line 3"),
        ("name,group\na,1\n001,NA\n", "gives '001' no group, line 3"),
        ("name,group\na,1\n001,None\n", "gives '001' no group, line 3"),
        ("name,group\n000,A\n001,NaN\n", "gives '001' no group, line 3"),
        ("name,group\n000,A\n,B\n", "has a group without a name, line 3"),
        ("name,group\n000,A,B\n", "has more cells than columns, line 2"),
        ("name,group,group\n000,A,B\n", r"columns \['name', 'group', 'group'\]: name and group"),
        ("name,person\n000,A\n", r"columns \['name', 'person'\]: name and group"),
        ('name,group\n"000,A\n', "is not CSV: unexpected end of data"),
        ("", r"columns \[\]: name and group"),
        (TABLE.encode("latin-1"), "is not UTF-8 in line 2: save it as UTF-8"),
        (TABLE.encode("utf-16-le"), "null|not UTF-8"),
        (TABLE.encode("utf-32"), "null|not UTF-8"),
    ],
)
def test_what_is_unclear_in_a_table_is_refused(content, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        groups(content, tmp_path)
    assert "\n" not in str(caught.value)
    assert "g.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"000": "A", "001": "B", "000": "B"}', "gives '000' the groups 'A' and 'B'"),
        ('{"000": "A", "001": null}', "gives '001' the group None, entry 2: give text"),
        ('{"000": "A", "001": ""}', "gives '001' no group, entry 2"),
        ('{"000": "A", "001": true}', "gives '001' the group True"),
        ('{"000": "A", "001": NaN}', "gives '001' the group nan"),
        ('{"000": "A", "001": 1.0}', "gives '001' the group 1.0"),
        ('{"A": ["000", "001"]}', "gives 'A' several values: the form is"),
        ('{"A": {"000": 1}}', "gives 'A' several values: the form is"),
        ('{"000": "A"', "is not JSON"),
        ('["000", "001"]', "holds no object"),
        ("[" * 100_000, "is not JSON"),
        ('{"000": ' + "9" * 5000 + "}", "is not JSON"),
    ],
)
def test_what_is_unclear_in_json_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        groups(content, tmp_path, name="g.json")
    assert len(str(caught.value)) < 400


def test_folders_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    rows = ["a/000,A0", "a/001,A1", "/data/b/000.nii.gz,B0", "b/001.nii.gz,B1"]
    found = groups("\n".join(["name,group", *rows]), tmp_path, sources=SITES)
    assert found == ["A0", "A1", "B0", "B1"]
    with pytest.raises(DataError, match=r"no group for 2 of 4 files, such as 000.nii.gz, 001"):
        groups("\n".join(["name,group", *rows[:2]]), tmp_path, sources=SITES)
    # A name without a folder may stand for several files: they are one group.
    assert groups("name,group\n000,A\n001,B\n", tmp_path, sources=SITES) == ["A", "B"] * 2
    with pytest.raises(DataError, match=r"gives /data/b/000.nii.gz the groups 'A' and 'B0'"):
        groups("name,group\n000,A\n001,B\nb/000,B0\n", tmp_path, sources=SITES)


def test_every_channel_of_a_sample_has_its_group(tmp_path: Path) -> None:
    sources = [Source((Path("/d/x_t1.nii"), Path("/d/x_t2.nii")))]
    assert groups("name,group\nx_t2,A\n", tmp_path, sources=sources) == ["A"]
    with pytest.raises(DataError, match=r"x_t1.nii the groups 'A' and 'B'"):
        groups("name,group\nx_t1,B\nx_t2,A\n", tmp_path, sources=sources)


def test_an_expression_must_name_a_group() -> None:
    spec = DataSpec(volumes="x", group_by="(sub-[0-9]+)?_")
    for name in ("sub_1.nii", "_sub-1.nii"):
        with pytest.raises(DataError, match=f"names no group in '/d/{name}'"):
            group_of([Source((Path("/d") / name,))], spec=spec)


@pytest.mark.parametrize("deep", [False, True], ids=["own ends", "ends alike"])
def test_the_split_is_the_same_however_the_path_is_spelled(
    deep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`spec.yaml` of a run has whole paths: started again from it, it holds out the same."""
    names = ["a/x/y/s0", "b/x/y/s0"] if deep else [f"s{i}" for i in range(8)]
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / f"{name}.nii").touch()
    (tmp_path / "m.csv").write_text("\n".join(["image", *(f"set/{name}.nii" for name in names)]))
    whole = group_of(find_sources(spec := DataSpec(volumes=tmp_path / "set")), spec=spec)
    sources = [tmp_path / "set" / f"{name}.nii" for name in names]
    if not deep:  # as it is for paths of three parts at least
        assert whole == ["/".join(path.parts[-3:]) for path in sources]
    for here, options in (
        (".", {"volumes": "set"}),
        ("set", {"volumes": "."}),
        ("set", {"volumes": "../set/**/*.nii"}),
        ("set", {"manifest": "../m.csv"}),
        (".", {"manifest": "m.csv"}),
    ):
        monkeypatch.chdir(tmp_path / here)
        spec = DataSpec(**options)
        assert group_of(find_sources(spec), spec=spec) == whole


PEOPLE = st.lists(st.sampled_from("ABCDEé"), min_size=2, max_size=12)


@given(people=PEOPLE, sites=st.integers(1, 3), holdout=st.floats(0, 0.99), data=st.data())
def test_nobody_is_on_both_sides(people, sites: int, holdout: float, data, tmp_path_factory):
    """Whatever the names and however they are written: a split without leak, or an error."""
    folder = tmp_path_factory.mktemp("groups")
    sources = [
        Source((Path(f"/data/site{i % sites}/{i // sites}.nii.gz"),)) for i in range(len(people))
    ]
    person = dict(zip(sources, people, strict=True))

    def written(source: Source) -> str:
        path = source.files[0]
        ways = [path.name, f"{path.parent.name}/{path.name}", str(path), f" {path.name[:-7]} "]
        return data.draw(st.sampled_from(ways))

    entries = [(written(source), person[source]) for source in sources]
    clear = all(
        len({group for _, group in same}) == 1
        for _, same in groupby(sorted(person.items(), key=_name), key=_name)
    )
    if data.draw(st.booleans()):
        text = "{" + ",".join(f"{json.dumps(n)}: {json.dumps(g)}" for n, g in entries) + "}"
        (path := folder / "g.json").write_text(text)
    else:
        rows = [f"{name};{group}" for name, group in entries]
        (path := folder / "g.csv").write_text("\n".join(["name;group", *rows]))
    spec = DataSpec(volumes="x", group_file=path, holdout=holdout)
    try:
        train, held = split_sources(sources, spec=spec)
    except DataError:
        assert not clear
        return
    assert sorted([*train, *held], key=sources.index) == sources
    assert not {person[s] for s in train} & {person[s] for s in held}


def _name(item: tuple[Source, str]) -> str:
    return item[0].files[0].name
