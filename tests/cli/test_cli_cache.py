"""`ssl3d cache` shows the prepared volumes and removes them, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import Command


def fill(folder: Path) -> None:
    """Two volumes and a stranger's file."""
    folder.mkdir(parents=True)
    for number in range(2):
        path = folder / f"{number:032x}.b2nd"
        path.write_bytes(bytes(2**20))
        os.utime(path, (86400 * number, 86400 * number))
    (folder / "notes.txt").write_text("mine")


def test_show_and_clear(ssl3d: Command, tmp_path: Path) -> None:
    fill(tmp_path / "cache")
    done = ssl3d("cache", "--folder", tmp_path / "cache")
    assert done.code == 0
    assert f"{tmp_path / 'cache'}: 2 prepared volumes, 0.00195 GiB" in done.out
    assert "Last used between 1970-01-01" in done.out
    assert "Removed" in ssl3d("cache", "--folder", tmp_path / "cache", "--clear").out
    assert os.listdir(tmp_path / "cache") == ["notes.txt"]
    assert "0 prepared volumes" in ssl3d("cache", "--folder", tmp_path / "cache").out


def test_default_folder(ssl3d: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "0 prepared volumes" in ssl3d("cache").out
    fill(tmp_path / "ssl3d/volumes")
    assert "2 prepared volumes" in ssl3d("cache").out


def test_a_file_is_no_folder(ssl3d: Command, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    done = ssl3d("cache", "--folder", tmp_path / "a")
    assert (done.code, done.err) == (2, f"Error: --folder: {tmp_path / 'a'} is no folder\n")
