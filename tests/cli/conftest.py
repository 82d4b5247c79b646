"""The command line, run in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, Done

from ssl3d.cli import main


@pytest.fixture
def ssl3d(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `ssl3d ARGUMENTS`; its output is not wrapped."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Done:
        with pytest.raises(SystemExit) as leave:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(int(leave.value.code or 0), captured.out, captured.err)

    return run
