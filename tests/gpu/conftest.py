"""Tests for a machine with a GPU: `pytest -m gpu`. Elsewhere they are collected and skipped.

SSL3D_TEST_DEVICE=cpu pytest tests/gpu      a dry run; slow, for all kits run once more
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gpu_device import DEVICE

from ssl3d.run.precision import tf32

TESTS = Path(__file__).parents[1]
# What is tried here is what other folders try on a CPU.
sys.path[:0] = [str(TESTS), *(str(folder) for folder in sorted(TESTS.iterdir()) if folder.is_dir())]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    """Single precision is single: torch's convolutions take TF32 on a GPU by default."""
    with tf32(False, device=torch.device(DEVICE)):
        yield
