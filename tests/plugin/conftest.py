"""Distributions made on the spot, found the way that installed ones are."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Distribution = Callable[..., None]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """Put a distribution with one plugin module on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(
        name: str,
        *,
        module: str,
        source: str,
        version: str = "1.0",
        groups: tuple[str, ...] = ("ssl3d",),
    ) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        points = "".join(f"[{group}]\n{module} = {module}\n" for group in groups)
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make
