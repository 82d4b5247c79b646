"""A run says by which table its convolutions were chosen, and where that has changed since."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

import ssl3d
from ssl3d import ExperimentSpec
from ssl3d_plugins.sparse_cells.ways_file import device_name, versions, write_table
from ssl3d_plugins.sparse_cells.ways_table import WaysTable

MakeSpec = Callable[..., ExperimentSpec]


def test_a_resumed_run_says_that_ways_have_changed(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec, out, said = make_spec(trainer={"loggers": ()}), tmp_path / "run", list[str]()
    for measured in (False, True, True):
        if measured:
            name = device_name(torch.device("cpu"))
            write_table(WaysTable(name, "2026-01-01", versions(), rows={}))
        console = Console(file=StringIO(), width=400)
        ssl3d.pretrain(spec, out=out, resume=out.exists(), console=console)
        said.append(console.file.getvalue())  # type: ignore[attr-defined]
    starts = json.loads((out / "environment.json").read_text())
    ways = [start["components"]["sparse_backend/cells"] for start in starts]
    assert ways[0] == "ways to convolve: built-in table"
    assert ways[1] == ways[2]
    assert "measured 2026-01-01" in ways[1]
    assert ["computes otherwise than at the last start" in text for text in said] == [
        False,
        True,
        False,
    ]
