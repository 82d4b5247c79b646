"""The job for SLURM in docs/clusters.md, with stand-ins for SLURM and for the run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "clusters.md"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the job is for bash")


def script() -> str:
    """The job, as it stands on the page."""
    (found,) = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```$", PAGE.read_text(), re.M | re.S)
    return str(found)


def run(folder: Path, code: int) -> tuple[int, list[str]]:
    """Exit code of the job and what it called, where the run ends with `code`."""
    for name, ends in (("srun", code), ("scontrol", 0)):
        command = folder / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f'#!/bin/bash\necho {name} "$@" >> calls\nexit {ends}\n')
        command.chmod(0o755)
    (folder / "calls").unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", "-c", script()],
        cwd=folder,
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"},
    )
    return done.returncode, (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(("code", "again"), [(85, True), (0, False), (2, False), (143, False)])
def test_it_is_put_back_where_the_run_is_saved(tmp_path: Path, code: int, again: bool) -> None:
    calls = ["srun ssl3d pretrain ct.yaml --out runs/ct"]
    assert run(tmp_path, code) == (code, calls + ["scontrol requeue 42"] * again)


def test_it_goes_on_where_there_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "runs/ct").mkdir(parents=True)
    (tmp_path / "runs/ct/spec.json").write_text("{}")
    assert run(tmp_path, 0) == (0, ["srun ssl3d pretrain ct.yaml --out runs/ct --resume"])
