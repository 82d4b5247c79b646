"""Only the published source is used, and it is fetched once."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ssl3d.install import source as module
from ssl3d.install.errors import InstallError
from ssl3d.install.process import build_environment, run_logged


def test_changed_archive_is_refused_and_deleted(archive: Path, tmp_path: Path) -> None:
    changed = tmp_path / archive.name
    changed.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(InstallError, match=module.SHA256) as caught:
        module.verify_checksum(changed)
    assert caught.value.step == "verify checksum"
    assert not changed.exists()


def test_intact_archive_is_not_fetched_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / archive.name
    shutil.copyfile(archive, kept)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert module.download_source(tmp_path, work=tmp_path / "work") == kept


def test_failing_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(InstallError, match="No matching distribution") as caught:
        module.download_source(tmp_path / "cache", work=tmp_path / "work")
    assert caught.value.step == "download source"
    assert "package index" in caught.value.advice
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_setup_script_cannot_remove_an_installed_package(tmp_path: Path) -> None:
    """MinkowskiEngine's setup script runs `pip uninstall` when asked for its name."""
    log = tmp_path / "log"
    env = build_environment(tmp_path / "bin")
    status = run_logged(["pip", "uninstall", "--yes", "ssl3d"], log=log, env=env)
    assert status == 0
    assert log.read_text() == ""


def test_interpreters_own_tools_are_on_the_path(tmp_path: Path) -> None:
    path = build_environment(tmp_path / "bin")["PATH"].split(":")
    assert path[:2] == [str(tmp_path / "bin"), str(Path(sys.executable).parent)]
