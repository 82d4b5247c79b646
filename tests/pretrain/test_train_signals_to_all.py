"""A signal to every process of a run, as terminals and schedulers send it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl3d import ExperimentSpec
from ssl3d.folder import RunFolder

SCRIPT = """
import sys, torch, ssl3d
torch.set_num_threads(1)
result = ssl3d.pretrain(ssl3d.ExperimentSpec.load(sys.argv[1]), out=sys.argv[2])
print("left after", result.step)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_saves_and_leaves(
    make_spec: Callable[..., ExperimentSpec], tmp_path: Path, number: signal.Signals
) -> None:
    """Its reading processes get the signal too, and must not take the run down with them."""
    spec = make_spec(data={"workers": 2}, trainer={"steps": 100_000, "checkpoint_every": 100_000})
    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "spec.json").write_text(spec.to_json())
    run = subprocess.Popen(
        [sys.executable, "run.py", "spec.json", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = RunFolder(tmp_path / "out").metrics
    try:
        while not metrics.exists():  # it trains
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.1)
        os.killpg(run.pid, number)
        said, errors = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, errors
    assert "Stopped after step" in said
    newest = RunFolder(tmp_path / "out").newest_checkpoint()
    assert newest is not None
    assert newest.stem == f"step-{int(said.split()[-1]):09d}"
