"""DICOM series made on the spot with pydicom, and a cache folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pydicom")

from phantom import write_series


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def series(tmp_path: Path) -> Callable[..., Path]:
    """`write_series` into a folder of the test."""

    def write(name: str = "scan", **options: object) -> Path:
        return write_series(tmp_path / name, **options)  # type: ignore[arg-type]

    return write
