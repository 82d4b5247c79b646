"""The benchmark of the loader works in its small form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "loader.py"
TINY = json.dumps({"name": "waveformer", "widths": [8, 16], "depths": [1, 1], "heads": [1, 2]})
SMALL = ["--noise", "2", "24", "--patch", "16", "16", "16", "--seconds", "0.1", "--rounds", "2"]


@pytest.mark.slow
def test_rates_parts_and_waits_of_every_kind(tmp_path: Path) -> None:
    out = tmp_path / "loader.json"
    command = [sys.executable, SCRIPT, *SMALL, "--backbone", TINY, "--steps", "4", "--out", out]
    done = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads(out.read_text(encoding="utf-8"))
    assert list(result["views"]) == ["single", "nested"]
    parts = {"crops", "views", "collation", "to half"}
    parts |= {"through a worker", "the same in half", "voxels alone"}
    for found in result["views"].values():
        assert list(found["crops a second"]) == ["0", "1", "2"]
        assert all(rate > 0 for rate in found["crops a second"].values())
        assert set(found["ms a batch"]) == parts
        assert all(value > 0 for value in found["ms a batch"].values())
        assert 0 < found["MiB a batch"]["half"] <= found["MiB a batch"]["single"] / 2
        for run in found["run"].values():
            assert 0 < run["waiting"] < 1
            assert run["seconds a step"] > 0
    assert "of it waiting" in done.stdout
    # Making everything in the process of the step is waiting, too.
    assert result["views"]["single"]["run"]["0"]["waiting"] > 0


def test_too_few_steps_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--steps", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "give 4 or more, or 0" in done.stderr
