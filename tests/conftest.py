"""Shared by all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import Command, Done
from hypothesis import settings
from reliability import Fault, write_page

# Machines differ in speed and share their cores: no deadlines.
settings.register_profile("ssl3d", deadline=None, max_examples=25, print_blob=True)
settings.load_profile("ssl3d")

torch.set_num_threads(1)  # pytest-xdist runs one process a core


@pytest.fixture
def run_python(tmp_path):
    """Run code in a fresh interpreter in the test's folder; gives its completed process."""

    def run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def ssl3d(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `ssl3d ARGUMENTS` in this process; its output is not wrapped."""
    from ssl3d.cli import main

    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Done:
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(int(leave.value.code or 0), captured.out, captured.err)

    return run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reliability", type=Path, help="write the table of faults and their results to this page"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("faults")
        if marker is not None:
            item.user_properties.append(("fault", marker.args))


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--reliability") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reliability(config.getoption("--reliability")))


class Reliability:
    """Gathers what the tests marked `faults` find, and writes the page."""

    def __init__(self, page: Path) -> None:
        self._page = page.absolute()
        self._results: dict[Fault, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = dict(report.user_properties)
        if "fault" in told and (report.when == "call" or not report.passed):
            result = str(told.get("result", "as expected")) if report.passed else report.outcome
            self._results.setdefault(Fault(*told["fault"]), []).append(result)

    def pytest_sessionfinish(self) -> None:
        write_page(self._page, results=self._results)
