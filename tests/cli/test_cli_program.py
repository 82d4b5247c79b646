"""The program itself: quick help, one message for an error, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Command

import ssl3d as package
from ssl3d.cli import main as program

HELP = """
import sys
from ssl3d.cli import main
try:
    main(["--help"])
except SystemExit as leave:
    assert not leave.code
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = sorted(loaded & {"torch", "numpy", "monai", "lightning", "pydantic"})
# Of plugins nothing but the hooks of those that bring commands.
heavy += sorted(n for n in sys.modules if n.startswith("ssl3d_plugins."))
for plugin in ("sparse_minkowski", "sparse_cells"):
    heavy.remove(f"ssl3d_plugins.{plugin}")
raise SystemExit(f"imported {heavy}" if heavy else 0)
"""


COMMANDS = (
    *("pretrain", "components", "options", "schema", "manifest", "inspect", "prepare"),
    *("doctor", "install", "tune"),
)


def test_help_loads_neither_torch_nor_plugins_nor_pydantic(run_python) -> None:
    done = run_python(HELP)
    assert done.returncode == 0, done.stderr
    for command in (
        "pretrain",
        "components",
        "options",
        "schema",
        "inspect",
        "doctor",
        "install",
        "tune",
    ):
        assert f"\n  {command} " in done.stdout


def test_help_is_quick() -> None:
    """The best of three: half a second on a quiet machine; with torch it would be many."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "ssl3d", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    print(f"ssl3d --help: {min(times):.2f} s")
    assert min(times) < 4


def test_version(ssl3d: Command) -> None:
    done = ssl3d("--version")
    assert (done.code, done.out) == (0, f"ssl3d {package.__version__}\n")


def test_every_command_has_help(ssl3d: Command) -> None:
    for command in (
        "pretrain",
        "components",
        "options",
        "schema",
        "inspect",
        "doctor",
        "install",
        "tune",
    ):
        done = ssl3d(command, "--help")
        assert done.code == 0
        assert "Usage: ssl3d" in done.out


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong value"),
        FileNotFoundError(2, "no such file", "scan.nii.gz"),
        ImportError("spconv is not installed: pip install ssl3d[spconv-cu126]"),
    ],
)
def test_a_users_error_is_one_message_without_a_traceback(
    ssl3d: Command, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(package.ExperimentSpec, "load", fail)
    done = ssl3d("pretrain", "spec.yaml", "--out", "run")
    assert done.code == 2
    assert done.out == ""
    assert done.err == f"Error: {error}\n"
    done = ssl3d("--debug", "pretrain", "spec.yaml", "--out", "run")
    assert done.code == 2
    assert "Traceback" in done.err
    assert str(error) in done.err


def test_our_own_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(package.ExperimentSpec, "load", fail)
    with pytest.raises(AssertionError, match="a bug"):
        program(["pretrain", "spec.yaml", "--out", "run"])


def test_an_interrupt_ends_with_130(ssl3d: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(package.ExperimentSpec, "load", stop)
    done = ssl3d("pretrain", "spec.yaml", "--out", "run")
    assert done.code == 130
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretain"], "pretain"),
        (["pretrain"], "SPEC"),
        (["pretrain", "spec.yaml"], "give the folder of the run"),
        (["pretrain", "spec.yaml", "--output", "run"], "--output"),
    ],
)
def test_wrong_use_ends_with_2_and_says_how_to_use_it(
    ssl3d: Command, arguments: list[str], message: str
) -> None:
    done = ssl3d(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "Usage: ssl3d" in done.err


@pytest.mark.parametrize("command", [["options"], ["components", "waveformer"], ["components"]])
def test_a_plain_terminal_shows_plain_signs(command: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "40"}
    done = subprocess.run(
        [sys.executable, "-m", "ssl3d", *command],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        encoding="ascii",
    )
    assert done.returncode == 0, done.stderr
    assert "<=" in done.stdout or command == ["components"]
    assert "\\u" not in done.stdout
