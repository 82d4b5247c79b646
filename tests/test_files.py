"""Files are there whole or not at all, and are the user's own."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ssl3d.files import cache_root, write_json, write_text, written_whole

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")


@pytest.fixture
def group_umask() -> Iterator[None]:
    """New files may be written by the user's group, as on many shared machines."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@posix
@pytest.mark.usefixtures("group_umask")
def test_mode_is_the_users_whatever_the_writer_does(tmp_path: Path) -> None:
    with written_whole(tmp_path / "a") as unfinished:
        unfinished.unlink()
        os.close(os.open(unfinished, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o664


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def fail() -> None:
        with written_whole(tmp_path / "a") as unfinished:
            unfinished.write_text("half")
            assert (tmp_path / "a").read_text() == "old"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_writers_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    texts = [str(i) * 20_000 for i in range(8)]
    writers = [threading.Thread(target=write_text, args=(tmp_path / "a", text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "a").read_text() in texts
    assert os.listdir(tmp_path) == ["a"]


def test_content_is_on_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("name"), replace(a, b))[1])
    write_text(tmp_path / "a", "text")
    assert done == (["sync", "name"] if os.name == "nt" else ["sync", "name", "sync"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes any bytes as a name")
def test_a_name_of_no_utf8_survives_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.nii")
    write_json(tmp_path / "a.json", {name: "größe"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "größe" in text
    assert json.loads(text) == {name: "größe"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
def test_cache_follows_the_users_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "ssl3d"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "ssl3d"


def test_module_loads_no_torch(run_python: Callable) -> None:
    code = "import sys, ssl3d.files; print([n for n in ('torch', 'numpy') if n in sys.modules])"
    done = run_python(code)
    assert done.stdout.strip() == "[]", done.stderr
