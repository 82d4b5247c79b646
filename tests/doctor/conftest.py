"""Distributions made on the spot, which the processes of doctor find too."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Plugin = Callable[[str], None]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Install the distribution `fake-plugin` with this source as its plugin `fake`."""
    site = tmp_path / "site"
    info = site / "fake_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text("[ssl3d]\nfake = fake_plugin\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delitem(sys.modules, "fake_plugin", raising=False)

    def install(source: str) -> None:
        (site / "fake_plugin.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()

    return install
