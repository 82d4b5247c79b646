"""Shared by all tests."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import settings

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
