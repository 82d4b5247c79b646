"""`ssl3d install minkowski` from the user's side."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl3d_plugins.sparse_minkowski.install import steps as module
from ssl3d_plugins.sparse_minkowski.install.command import app
from ssl3d_plugins.sparse_minkowski.install.edits import edit_set_version
from ssl3d_plugins.sparse_minkowski.install.install_error import InstallError
from ssl3d_plugins.sparse_minkowski.install.minkowski_edits import MINKOWSKI_EDITS
from ssl3d_plugins.sparse_minkowski.install.target import detect_target

WHEEL = "MinkowskiEngine-0.5.4-cp311-cp311-linux_x86_64.whl"


class Recorder:
    """A display that only remembers."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def begin(self, step: str) -> None:
        self.steps.append(step)

    def advance(self, done: int, total: int) -> None:
        assert 0 < done <= total

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What would have been run to install and to try a wheel."""
    ran: list[Sequence[str]] = []

    def remember(command: Sequence[str], **_: object) -> int:
        ran.append(command)
        return 0

    monkeypatch.setattr(module, "run_logged", remember)
    return ran


def _kept_wheel(folder: Path) -> Path:
    key = detect_target(cuda=False).cache_key(edit_set_version(MINKOWSKI_EDITS))
    wheel = folder / WHEEL
    folder.mkdir(parents=True, exist_ok=True)
    wheel.write_bytes(b"wheel")
    return module.keep_wheel(wheel, folder=folder / key)


def test_kept_wheel_is_installed_without_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[Sequence[str]]
) -> None:
    kept = _kept_wheel(tmp_path)
    monkeypatch.setenv("PATH", "")  # Nothing could be built.
    result = CliRunner().invoke(app, ["minkowski", "--cpu", "--wheel-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    install, attempt = commands
    assert install[-1] == str(kept)
    assert {"--no-deps", "--no-index"} <= set(install)
    assert attempt[-1] == "ssl3d_plugins.sparse_minkowski.install.try_minkowski"


def test_steps_of_a_kept_wheel(
    tmp_path: Path, commands: list[Sequence[str]], recorder: Recorder
) -> None:
    kept = _kept_wheel(tmp_path)
    assert module.install_minkowski(display=recorder, cuda=False, wheel_dir=tmp_path) == kept
    assert recorder.steps == ["look at torch", "install wheel", "try it"]
    assert str(kept) in recorder.notes[-1]
    assert len(commands) == 2


def test_failing_attempt_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    _kept_wheel(tmp_path)

    def fail_to_import(command: Sequence[str], *, log: Path) -> int:
        log.write_text("ImportError: undefined symbol\n")
        return int("ssl3d_plugins.sparse_minkowski.install.try_minkowski" in command)

    monkeypatch.setattr(module, "run_logged", fail_to_import)
    with pytest.raises(InstallError, match="undefined symbol") as caught:
        module.install_minkowski(display=recorder, cuda=False, wheel_dir=tmp_path)
    assert caught.value.step == "try it"
    assert "--force" in caught.value.advice


def test_force_builds_although_a_wheel_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[Sequence[str]]
) -> None:
    _kept_wheel(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    arguments = ["minkowski", "--cpu", "--force", "--wheel-dir", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert commands == []


def test_missing_compiler_names_step_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[Sequence[str]]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "c++")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    result = CliRunner().invoke(app, ["minkowski", "--cpu", "--wheel-dir", str(tmp_path)])
    assert result.exit_code == 1
    said = re.sub(r"\s+", " ", result.output)
    assert "Step 'check tools' failed" in said
    assert "C++ compiler" in said
    assert "What to do: install one" in said
    assert commands == []


def test_wheel_is_kept_whole(tmp_path: Path) -> None:
    built = tmp_path / WHEEL
    built.write_bytes(b"wheel")
    folder = tmp_path / "cache" / "key"
    kept = module.keep_wheel(built, folder=folder)
    assert kept.read_bytes() == b"wheel"
    assert [file.name for file in folder.iterdir()] == [WHEEL]


def test_command_loads_no_torch() -> None:
    command = "ssl3d_plugins.sparse_minkowski.install.command"
    code = f"import sys, {command}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_help_names_the_options() -> None:
    result = CliRunner().invoke(
        app, ["minkowski", "--help"], env={"COLUMNS": "100", "TERM": "dumb"}
    )
    assert result.exit_code == 0
    for option in ("--cuda", "--cpu", "--force", "--wheel-dir"):
        assert option in result.output
