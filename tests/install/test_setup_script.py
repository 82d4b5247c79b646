"""What `scripts/setup.sh` asks pip for; no pip is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup.sh"


@pytest.mark.parametrize(
    ("extras", "requirement"),
    [([], "."), (["test"], ".[test]"), (["test", "spconv-cu126"], ".[test,spconv-cu126]")],
)
def test_the_checkout_is_installed_with_the_extras(
    tmp_path: Path, extras: list[str], requirement: str
) -> None:
    """Without extras there are no brackets: recent versions of pip refuse `.[]`."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >> calls\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "SSL3D_PYTHON": sys.executable, "SSL3D_TORCH": "torch==1.2.3"}
    subprocess.run(["bash", "scripts/setup.sh", *extras], cwd=tmp_path, env=environment, check=True)
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[0].split()[-1] == "torch==1.2.3"
    assert calls[-1].split()[-2:] == ["--editable", requirement]
