"""The benchmark of the store works in its small form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "data.py"


@pytest.mark.slow
def test_rates_memory_sizes_and_waits_of_every_way(tmp_path: Path) -> None:
    out = tmp_path / "data.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--small", "--out", out],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads(out.read_text(encoding="utf-8"))
    ways = ["raw NIfTI", "PersistentDataset", "CacheDataset", "store"]
    assert list(result["reading"]) == ways
    for own in result["reading"].values():
        assert all(rate > 0 for rate in own["crops a second"])
        assert own["peak bytes"] > 0
    assert result["reading"]["raw NIfTI"]["times raw"] == 1
    assert list(result["disk bytes"]) == ["raw NIfTI", "PersistentDataset", "store"]
    assert result["volumes"] == 3
    assert result["filling"]["dtypes"] == {"uint16": 3}
    assert 0 < result["run"]["0"]["waiting"] < 1
    assert "of it waiting" in done.stdout


def test_too_few_steps_are_refused() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--steps", "2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "give 4 or more, or 0" in done.stderr
