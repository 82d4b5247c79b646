"""Puts the project's tests on the path: `test_gpu.py` takes its networks from one of them."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "pyproject.toml").exists())
sys.path.insert(0, str(ROOT / "tests"))
