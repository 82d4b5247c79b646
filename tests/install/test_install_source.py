"""Only the published source is used, and it is fetched once."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from ssl3d_plugins.sparse_minkowski.install import source as module
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.process import build_environment, run_logged

SETUP = """
import pathlib
from setuptools import setup
pathlib.Path({marker!r}).touch()
setup(name="MinkowskiEngine", version="0.5.4")
"""


@pytest.fixture
def only_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def test_nothing_in_a_changed_archive_is_run(only_index: Path, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    setup = SETUP.format(marker=str(marker)).encode()
    with tarfile.open(only_index / module.ARCHIVE, "w:gz") as file:
        entry = tarfile.TarInfo(f"MinkowskiEngine-{module.VERSION}/setup.py")
        entry.size = len(setup)
        file.addfile(entry, io.BytesIO(setup))
    with pytest.raises(InstallError, match=module.SHA256) as caught:
        module.download_source(tmp_path / "cache", work=tmp_path / "work")
    assert not marker.exists()
    assert not (tmp_path / "cache" / module.ARCHIVE).exists()
    assert caught.value.step == "download source"
    assert "not the published" in caught.value.reason
    assert "changed file" in caught.value.advice


def test_published_archive_is_taken_under_the_containers_constraints(
    archive: Path, only_index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They carry no checksums, and pip wants one of everything as soon as it has one."""
    shutil.copyfile(archive, only_index / archive.name)
    constraints = Path(__file__).parents[2] / "docker" / "constraints.txt"
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    found = module.download_source(tmp_path / "cache", work=tmp_path / "work")
    assert module.sha256(found) == module.SHA256


def test_intact_archive_is_not_fetched_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / archive.name
    shutil.copyfile(archive, kept)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert module.download_source(tmp_path, work=tmp_path / "work") == kept


@pytest.mark.usefixtures("only_index")
def test_failing_download_says_so(tmp_path: Path) -> None:
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
