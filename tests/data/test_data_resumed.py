"""The files of a run that goes on: what stays, what comes, what leaves, and what never happens."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl3d.data.data_error import BadVolume, DataError
from ssl3d.data.listing import ListedFile, ListedSample, Listing, listed
from ssl3d.data.resumed import Earlier, ResumedSplit, resumed_split
from ssl3d.data.source import Source


def sample(path: str, size: int = 1, modified: int = 1, *, group: str | None = None):
    """A sample of one file."""
    return ListedSample((ListedFile(path, size, modified),), group)


def go_on(earlier: Listing, now: list[ListedSample], *, accept: bool = False, moves=()):
    sources = [Source(tuple(map(Path, one.paths))) for one in now]
    how = Earlier(earlier, moves=moves, accept_changes=accept)
    return resumed_split(sources, now=now, earlier=how)


def names(split: ResumedSplit) -> tuple[list[str], list[str]]:
    train, held = ([s.name for s in split.side(held_out=side)] for side in (False, True))
    return train, held


BEFORE = Listing("/", (sample("/d/b"), sample("/d/a", 2)), (sample("/d/c", 3),))


def test_what_is_as_it_was_keeps_sides_and_order() -> None:
    split = go_on(BEFORE, sorted(BEFORE.samples, key=lambda one: one.paths))
    assert names(split) == (["/d/b", "/d/a"], ["/d/c"])
    assert split.listing == BEFORE
    assert split.changes == ""
    assert split.moved == []


@pytest.mark.parametrize(
    ("now", "change"),
    [
        ([*BEFORE.samples, sample("/d/z")], "added (training): /d/z"),
        (BEFORE.samples[:2], "missing (held out): /d/c"),
        (BEFORE.samples[1:], "missing (training): /d/b"),
        (
            [sample("/d/b", 9), *BEFORE.samples[1:]],
            "changed (training): /d/b has 9 bytes, had 1",
        ),
        (
            [*BEFORE.samples[:2], sample("/d/c", 3, 9)],
            "changed (held out): /d/c was written since",
        ),
    ],
)
def test_changes_are_refused_or_accepted(now: list[ListedSample], change: str) -> None:
    with pytest.raises(DataError, match="not those that this run was begun with") as caught:
        go_on(BEFORE, now)
    assert f"\n  {change}\n" in str(caught.value)
    split = go_on(BEFORE, now, accept=True)
    assert split.changes == f"  {change}"
    assert go_on(split.listing, now).changes == ""
    train, held_out = names(split)
    assert sorted(train + held_out) == sorted(one.paths[0] for one in now)


def test_many_changes_are_counted() -> None:
    now = [*BEFORE.samples, *(sample(f"/d/z{i}") for i in range(40))]
    with pytest.raises(DataError) as caught:
        go_on(BEFORE, now)
    assert str(caught.value).count("added (training): /d/z") == 5
    assert "added (training): 35 more" in str(caught.value)


def test_what_left_keeps_its_side() -> None:
    without = go_on(BEFORE, [BEFORE.training[0]], accept=True)
    assert names(without) == (["/d/b"], [])
    assert go_on(without.listing, [BEFORE.training[0]]).changes == ""
    back = go_on(without.listing, list(BEFORE.samples), accept=True)
    assert names(back) == names(go_on(BEFORE, list(BEFORE.samples)))
    assert back.changes == "  back (training): /d/a\n  back (held out): /d/c"


def test_new_files_go_where_their_group_is() -> None:
    before = Listing("/", (sample("/d/a", group="A"),), (sample("/d/c", group="C"),))
    new = [sample("/d/x", group="A"), sample("/d/y", group="C"), sample("/d/z", group="Z")]
    split = go_on(before, [*before.samples, *new], accept=True)
    assert names(split) == (["/d/a", "/d/x", "/d/z"], ["/d/c", "/d/y"])
    # Also where the group's other files have left.
    split = go_on(before, [sample("/d/a", group="A"), new[1]], accept=True)
    assert names(split) == (["/d/a"], ["/d/y"])


def test_a_group_on_both_sides_cannot_be_accepted() -> None:
    before = Listing("/", (sample("/d/a", group="A"),), (sample("/d/c", group="C"),))
    for accept in (False, True):
        with pytest.raises(DataError, match="such as 'A', are trained on and held out"):
            go_on(before, [sample("/d/a", group="A"), sample("/d/c", group="A")], accept=accept)
    now = [sample("/d/a", group="B"), sample("/d/c", group="C")]
    assert go_on(before, now, accept=True).changes == (
        "  changed (training): /d/a is of group 'B', was of 'A'"
    )


def test_nothing_to_train_on_cannot_be_accepted() -> None:
    with pytest.raises(DataError, match=r"no file is left to train on:\n  missing \(training\)"):
        go_on(BEFORE, list(BEFORE.held_out), accept=True)


def test_copies_in_a_place_that_is_named_are_the_same_files() -> None:
    now = [sample(f"/new/d/{name}", size, 77) for name, size in (("a", 2), ("b", 1), ("c", 3))]
    split = go_on(BEFORE, now, moves=[("/other", "/else"), ("/", "/new")])
    assert names(split) == (["/new/d/b", "/new/d/a"], ["/new/d/c"])
    assert split.changes == ""
    assert split.moved[0] == "/d/b to /new/d/b"
    with pytest.raises(DataError, match=r"changed \(training\): /new/d/b has 5 bytes, had 1"):
        go_on(BEFORE, [*now[:1], sample("/new/d/b", 5), *now[2:]], moves=[("/", "/new")])
    with pytest.raises(DataError, match=r"added \(training\): /new/d/a"):
        go_on(BEFORE, now)


def test_moved_files_are_known_by_name_size_and_time() -> None:
    """A held-out file that was put into another folder is not trained on."""
    now = [*BEFORE.training, sample("/d/later/c", 3)]
    assert names(go_on(BEFORE, now)) == (["/d/b", "/d/a"], ["/d/later/c"])
    twins = [*now, sample("/d/even/later/c", 3)]
    with pytest.raises(DataError, match=r"missing \(held out\): /d/c"):
        go_on(BEFORE, twins)


def test_a_file_that_is_there_has_not_moved() -> None:
    """A broader folder in the spec: /d/b is still /d/b, whatever /b is."""
    now = [*BEFORE.samples, sample("/b", 1)]
    split = go_on(BEFORE, now, moves=[("/d", "/")], accept=True)
    assert split.changes == "  added (training): /b"
    assert split.moved == []


@given(
    states=st.lists(st.sets(st.integers(0, 11), min_size=1), min_size=2, max_size=6),
    groups=st.lists(st.sampled_from("ABCD"), min_size=12, max_size=12),
    held=st.sampled_from("ABCD"),
)
def test_no_side_ever_changes(states: list[set[int]], groups: list[str], held: str) -> None:
    """Files come and go, all accepted: a group is on the side that it was first on."""
    first = [sample(f"/{i}", group=groups[i]) for i in sorted(states[0])]
    training = tuple(one for one in first if one.group != held)
    listing = Listing("/", training, tuple(one for one in first if one.group == held))
    side = {one.group: one.group == held for one in first}
    for state in states:
        now = [sample(f"/{i}", group=groups[i]) for i in sorted(state)]
        for one in now:
            side.setdefault(one.group, False)
        expected = [{one.paths[0] for one in now if side[one.group] == out} for out in (0, 1)]
        if not expected[0]:
            with pytest.raises(DataError, match="no file is left to train on"):
                go_on(listing, now, accept=True)
            continue
        split = go_on(listing, now, accept=True)
        assert [set(part) for part in names(split)] == expected
        listing = split.listing


def test_listing_on_disk(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.nii")
    (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "b.nii").write_bytes(b"1")
    os.utime(tmp_path / "b.nii", ns=(5, 1_234_567_890_123_456_789))
    sources = [Source((tmp_path / name, tmp_path / "b.nii"))]
    (one,) = listed(sources, groups=["A"])
    assert one.files[1] == ListedFile(str(tmp_path / "b.nii"), 1, 1_234_567_890_123_456_789)
    assert one.files[0].size == 5
    listing = Listing("/somewhere", (one,), ())
    listing.write(tmp_path / "data.json")
    assert Listing.read(tmp_path / "data.json") == listing
    (tmp_path / name).unlink()
    with pytest.raises(BadVolume, match="cannot be read: No such file"):
        listed(sources, groups=["A"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "training": 3}'])
def test_damaged_listing_is_an_error_of_one_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(ValueError, match=r"format|incomplete|Expecting"):
        Listing.read(tmp_path / "data.json")


def test_half_a_listing_is_an_error(tmp_path: Path) -> None:
    BEFORE.write(tmp_path / "data.json")
    content = json.loads((tmp_path / "data.json").read_text())
    for spoil in ({"training": [{}]}, {"held_out": 3}, {"training": [{"files": [{"path": "x"}]}]}):
        (tmp_path / "data.json").write_text(json.dumps({**content, **spoil}))
        with pytest.raises(ValueError, match="incomplete"):
            Listing.read(tmp_path / "data.json")


def test_copy_keeps_times_or_not(tmp_path: Path) -> None:
    """What moving and copying tools do with times is what the rules above are for."""
    (tmp_path / "a.nii").write_bytes(b"1")
    os.utime(tmp_path / "a.nii", ns=(5, 5))
    shutil.move(tmp_path / "a.nii", tmp_path / "b.nii")
    shutil.copyfile(tmp_path / "b.nii", tmp_path / "c.nii")
    moved, copied = listed([Source((tmp_path / f"{n}.nii",)) for n in "bc"], groups=[None] * 2)
    assert moved.files[0].modified == 5
    assert copied.files[0].modified > 5


def test_a_renamed_file_keeps_its_side_once_it_is_accepted() -> None:
    """Its size and time are those of before: as a new file it might change sides."""
    trained = sample("/d/b-1", 5, 7, group="b")
    before = Listing("/", (trained,), (sample("/d/c-1", 3, 4, group="c"),))
    renamed = sample("/d/c-2", 5, 7, group="b")
    with pytest.raises(DataError, match=r"renamed \(training\): /d/b-1 to /d/c-2"):
        go_on(before, [renamed, *before.held_out])
    assert names(go_on(before, [renamed, *before.held_out], accept=True)) == (
        ["/d/c-2"],
        ["/d/c-1"],
    )
    with pytest.raises(DataError, match="such as 'c', are trained on and held out"):
        go_on(before, [sample("/d/c-2", 5, 7, group="c"), *before.held_out], accept=True)


def test_a_sample_that_gains_or_loses_a_channel_keeps_its_side() -> None:
    """What was held out with one channel would be trained on once the other one comes."""
    one, two = ListedFile("/d/a_t1", 1, 1), ListedFile("/d/a_t2", 2, 2)
    pair, alone = ListedSample((one, two), None), ListedSample((one,), None)
    for was, now, said in ((alone, pair, "2 channels, had 1"), (pair, alone, "1 channel, had 2")):
        before = Listing("/", (sample("/d/b"),), (was,))
        with pytest.raises(DataError, match=rf"changed \(held out\): /d/a_t1 has {said}"):
            go_on(before, [sample("/d/b"), now])
        split = go_on(before, [sample("/d/b"), now], accept=True)
        assert names(split) == (["/d/b"], ["/d/a_t1"])
        assert split.listing.held_out == (now,)
        assert split.moved == []
