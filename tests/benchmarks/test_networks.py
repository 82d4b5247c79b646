"""The benchmark of whole networks works in its small form; MONAI's two need no test here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "networks.py"
OURS = ["waveformer blueprint + unet", "primus S + patch"]


@pytest.mark.slow
def test_time_memory_and_size_of_each(tmp_path: Path) -> None:
    out = tmp_path / "networks.json"
    options = ["--edges", "16", "--rounds", "1", "--networks", *OURS, "--out", str(out)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(out.read_text(encoding="utf-8"))["edges"]["16"]
    for name in OURS:
        assert found["sizes"][name]["parameters"] > 1e6
        assert found["sizes"][name]["operations"] > 1e6
        for part in ("inference", "training step"):
            assert found["seconds"][name][part] > 0
            assert found["bytes"][name][part] >= 0
        assert name in done.stdout
