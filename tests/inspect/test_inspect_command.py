"""`ssl3d inspect`: terminal, page and data, what is said of files, and what an end leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command import Command
from deadly import deadly_look
from made import BIRTH, NAME, nifti, noise, series

import ssl3d.tasks.inspect.run as run
from ssl3d.data.spec import DataSpec
from ssl3d.tasks.inspect.facts import Facts
from ssl3d.tasks.inspect.kept import KeptFacts
from ssl3d.tasks.inspect.look import look_at
from ssl3d.tasks.inspect.look_all import look_at_all


def flat(text: str) -> str:
    return " ".join(text.split())


def a_bit_of_everything() -> Path:
    """A folder with good files and with each kind of others."""
    for number in range(3):
        nifti(Path(f"all/s{number}.nii.gz"), noise(seed=number), spacing=(1, 1, 1 + number))
    nifti(Path("all/other name.nii"), noise(seed=1), spacing=(1, 1, 2))
    nifti(Path("all/s0_seg.nii"), noise() % 3)
    Path("all/broken.nii.gz").write_bytes(Path("all/s0.nii.gz").read_bytes()[:300])
    series(Path("all/scan"), noise(seed=7))
    series(Path("all/scout"), noise(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(Path("all/one"), noise()[..., :1])
    Path("all/dead.nii").symlink_to("nowhere.nii")
    return Path("all")


class Page(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_table_page_and_data_say_the_same(ssl3d: Command) -> None:
    folder = a_bit_of_everything()
    done = ssl3d("inspect", folder, "--out", "all.html", "--json", "all.json", "--workers", "0")
    assert done.code == 0, done.err
    content = json.loads(Path("all.json").read_text())
    assert content["counts"] == {
        "files": 7,
        "images": 4,
        "label-like": 1,
        "cannot be used": 1,
        "copies of another": 1,
        "left out of the search, or noted in it": 3,
    }
    remarks = {Path(one["file"]).parts[1]: one["remark"] for one in content["remarks"]}
    assert remarks == {
        "scout": "is left out: it is a localiser",
        "one": "is left out: it is a single slice",
        "dead.nii": "is a link that leads nowhere",
    }
    assert content["copies"] == [["all/other name.nii", "all/s1.nii.gz"]]
    # Once each: 2 mm of the copies, 1, 3 and 1 mm.
    assert content["ranges"]["spacing"][0] == [1.0, 1.5, 3.0]
    assert content["ranges"]["shape"] == [[16, 16, 16], [14, 14, 14], [12, 12, 12]]
    assert content["sorts"]["format"] == {"nii": 1, "nii.gz": 2, "dicom": 1}
    page = Page()
    page.feed(html := Path("all.html").read_text())
    assert {one[:22] for one in page.loaded} == {"data:image/png;base64,"}
    assert len(page.loaded) == 3 * 6  # all but the broken file
    assert "script" not in page.tags
    assert "http" not in html
    said = [
        "all/s0_seg.nii: is named like a label map and holds 3 different whole numbers",
        "all/other name.nii = all/s1.nii.gz",
        "is left out: it is a localiser",
        "all/broken.nii.gz: cannot be read",
        content["suggestion"]["yaml"],
    ]
    for text in said:
        assert flat(text) in flat(page.text), text
        assert flat(text) in flat(done.out), text
    for file in content["files"]:
        row = f"{file['path']} {' × '.join(map(str, file['shape'] or ()))}".strip()
        assert row in flat(page.text)
        assert file["path"] in done.out
    assert "progress" not in done.out
    assert "file 7/7" in done.err  # and its rate, and the time left
    assert " files/min" in done.err
    assert " left" in done.err


def test_no_name_and_no_birth_date_anywhere(ssl3d: Command, tmp_path: Path) -> None:
    series(Path("scans/a"), noise())
    ssl3d("inspect", "scans", "--out", "all.html", "--json", "all.json", "--workers", "0")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "scans" not in path.parts]
    assert {"all.html", "all.json"} <= {path.name for path in written}
    for path in written:
        text = re.sub(r"base64,[^\"]*|\"[0-9a-f]{32}\"", "", path.read_text(errors="replace"))
        for secret in (NAME, "Jane", BIRTH):
            assert secret not in text, path


def test_text_of_files_is_text_in_the_page(ssl3d: Command) -> None:
    nifti(Path("in/<b>&amp;.nii"), noise())
    assert ssl3d("inspect", "in", "--out", "a.html", "--workers", "0").code == 0
    page = Page()
    page.feed(Path("a.html").read_text())
    assert "b" not in page.tags
    assert "in/<b>&amp;.nii" in page.text


def test_unreadable_files_are_an_error_where_there_is_nothing_else(ssl3d: Command) -> None:
    Path("bad").mkdir()
    Path("bad/a.nii").write_text("no image")
    done = ssl3d("inspect", "bad")
    assert done.code == 2
    assert "none of 1 files can be used:\n  bad/a.nii: cannot be read" in done.err
    nifti(Path("bad/b.nii"), noise())
    assert ssl3d("inspect", "bad").code == 0
    series(Path("scouts/a"), noise(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    done = ssl3d("inspect", "scouts")
    assert done.code == 2
    assert "none of them a volume" in done.err
    assert done.err.endswith(".dcm: is left out: it is a localiser\n")
    done = ssl3d("inspect", "nothing")
    assert (done.code, "there is no file 'nothing'" in done.err) == (2, True)


def test_labels_alone_get_no_suggestion(ssl3d: Command) -> None:
    nifti(Path("labels/a.nii"), noise() % 3)
    done = ssl3d("inspect", "labels")
    assert done.code == 0
    assert "Nothing here looks like an image" in done.out
    assert "data:" not in done.out


def test_files_globs_and_specs(ssl3d: Command) -> None:
    for name in ("a_t1", "a_t2", "b_t1", "b_t2"):
        nifti(Path(f"in/{name}.nii"), noise(seed=len(name)))
    for given in (["in/a_t1.nii", "in/b_t1.nii"], ["in/*_t1.nii"]):
        done = ssl3d("inspect", *given, "--json", "a.json")
        assert done.code == 0, done.err
        files = json.loads(Path("a.json").read_text())["files"]
        assert [one["path"] for one in files] == ["in/a_t1.nii", "in/b_t1.nii"]
    data = "{channels: {t1: in/*_t1.nii, t2: in/*_t2.nii}, batch_size: 3}"
    Path("spec.yaml").write_text(f"backbone: resunet\ndata: {data}\n")
    Path("data.yaml").write_text(data)
    Path("spec.py").write_text(
        "from ssl3d import ExperimentSpec\n"
        'spec = ExperimentSpec(data={"channels": {"t1": "in/*_t1.nii", "t2": "in/*_t2.nii"},'
        ' "batch_size": 3})\n'
    )
    for name in ("spec.yaml", "data.yaml", "spec.py"):
        done = ssl3d("inspect", name, "--json", "a.json")
        assert done.code == 0, done.err
        content = json.loads(Path("a.json").read_text())
        assert len(content["files"]) == 4
        assert content["suggestion"]["data"]["batch_size"] == 3
        assert content["suggestion"]["data"]["channels"]["t2"] == "in/*_t2.nii"
    done = ssl3d("inspect", "spec.yaml", "in")
    assert (done.code, "give it alone" in done.err) == (2, True)


def test_what_was_looked_at_before_an_end_is_kept(
    ssl3d: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(4):
        nifti(Path(f"in/{number}.nii"), noise(seed=number))
    looked: list[str] = []

    def counted(path: Path, **options: float) -> Facts:
        looked.append(path.name)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return look_at(path, **options)

    monkeypatch.setattr(run, "look_at", counted)
    done = ssl3d("inspect", "in", "--workers", "0")
    assert done.code == 130
    assert "2 of 4 files were looked at: the same command goes on from there" in done.err
    (kept,) = (tmp_path / "cache/ssl3d/inspect").iterdir()
    with kept.open("a") as file:
        file.write('{"stamp": "cut o')
    nifti(Path("in/1.nii"), noise(seed=9))
    os.utime("in/1.nii", (1, 1))
    looked[:] = ["", "", ""]
    done = ssl3d("inspect", "in", "--workers", "0", "--json", "a.json")
    assert done.code == 0
    assert looked[3:] == ["1.nii", "2.nii", "3.nii"]  # one had changed
    assert "1 of 4 files were looked at before" in done.err
    assert not kept.exists()
    files = json.loads(Path("a.json").read_text())["files"]
    assert [one["digest"] for one in files] == [
        look_at(Path(f"in/{number}.nii")).digest for number in range(4)
    ]


def test_a_page_that_cannot_be_written_loses_nothing(ssl3d: Command, tmp_path: Path) -> None:
    nifti(Path("in/a.nii"), noise())
    assert ssl3d("inspect", "in", "--out", "no/such/folder/a.html").code == 2
    assert len(list((tmp_path / "cache/ssl3d/inspect").iterdir())) == 1
    done = ssl3d("inspect", "in", "--out", "a.html")
    assert (done.code, "1 of 1 files were looked at before" in done.err) == (0, True)


def test_facts_go_on_after_a_line_that_was_cut_off() -> None:
    path = nifti(Path("a.nii"), noise())
    facts = look_at(path)
    kept = KeptFacts("set")
    kept.path.write_text('{"stamp": "cut o')
    KeptFacts("set").add(path, facts)
    assert KeptFacts("set").find(path) == facts
    assert KeptFacts("another").find(path) is None


def test_without_a_cache_folder_it_works_and_says_so(
    ssl3d: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("file").absolute()))
    nifti(Path("in/a.nii"), noise())
    with pytest.warns(UserWarning, match="begins anew"):
        assert ssl3d("inspect", "in").code == 0


def test_a_process_that_dies_loses_one_file() -> None:
    paths = [Path(name) for name in ("a", "b", "deadly", "c", "d")]
    found = dict(look_at_all(paths, workers=2, look=deadly_look))
    assert found.pop(Path("deadly")).problem.startswith("the process that read it was ended")
    assert found == {path: Facts(str(path), bytes=7) for path in paths if path.name != "deadly"}


def test_processes_end_where_the_main_one_is_killed() -> None:
    code = (
        "from pathlib import Path; from deadly import slow_look\n"
        "from ssl3d.tasks.inspect.look_all import look_at_all\n"
        "for path, _ in look_at_all(map(Path, 'ab'), workers=1, look=slow_look):\n"
        "    print(path, flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "a\n"
    process.kill()
    process.communicate(timeout=30)  # until no process holds the pipe, so well before the minute


def test_other_processes_find_the_same() -> None:
    path = nifti(Path("a.nii"), noise())
    assert dict(look_at_all([path], workers=1, look=look_at)) == {path: look_at(path)}


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "cores", lambda: 4)
    assert [run._workers(files) for files in (1, 15, 16, 900)] == [0, 0, 4, 4]
    monkeypatch.setattr(run, "cores", lambda: 64)
    assert run._workers(900) == 8


def test_a_finite_share_that_the_spec_allows() -> None:
    voxels = noise().astype("float32")
    voxels[:4] = float("nan")
    nifti(Path("in/a.nii"), voxels)
    for allowed, problem in ((0.05, True), (0.5, False)):
        spec = DataSpec(volumes="in", max_non_finite=allowed)
        (one,) = run.look(spec, kept=KeptFacts(str(allowed)), workers=0).files
        assert bool(one.problem) == problem
