"""The counts of a step are there, and do not grow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "operations.py"
MOST = {"tiny_wave": 255, "tiny_res": 321}
"""Operations of a visible step at reduced size; a change that needs more must say why. Of the same
commit 313 were counted for tiny_res on one processor, and 321 on one whose oneDNN computes no
bfloat16, in which steps are counted."""


@pytest.mark.slow
def test_a_step_needs_no_more_operations_than_it_did(tmp_path: Path) -> None:
    out = tmp_path / "operations.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *MOST, "--hidden", "0.5", "--out", str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(out.read_text(encoding="utf-8"))["networks"]
    for name, most in MOST.items():
        assert found[name]["visible"]["ops"] <= most
        assert found[name]["share"]["TFLOP"] < 1
