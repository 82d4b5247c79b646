"""What a run ran on is known for each of its starts."""

from __future__ import annotations

import json
import platform
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from ssl3d.files import write_json
from ssl3d.plugin.config import ComponentConfig
from ssl3d.run.environment import add_start, environment, read_starts
from ssl3d.run.run_error import RunError


def test_each_start_is_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    assert read_starts(path) == []
    for step in (0, 40):
        add_start(path, environment([], device="cpu", step=step))
    starts = read_starts(path)
    assert json.loads(path.read_text()) == starts
    assert [start["step"] for start in starts] == [0, 40]
    assert {start["host"] for start in starts} == {platform.node()}
    dates = [datetime.fromisoformat(start["date"]) for start in starts]
    assert dates == sorted(dates)
    assert dates[0].tzinfo is not None


def test_a_file_of_an_older_version_is_its_one_start(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    write_json(path, {"ssl3d": "0.1.0"})
    add_start(path, {"ssl3d": "0.2.0"})
    assert read_starts(path) == [{"ssl3d": "0.1.0"}, {"ssl3d": "0.2.0"}]


def test_what_computes_otherwise_than_at_the_last_start_is_said(tmp_path: Path) -> None:
    """Of components that are in both; one that was put in another's place is in the spec."""
    path = tmp_path / "environment.json"
    starts: list[dict[str, str]] = [{"a": "slow", "b": "old"}, {"a": "fast", "c": "new"}]
    said = [add_start(path, {"components": one}) for one in (starts[0], *starts, starts[1])]
    assert said[0] == said[1] == said[3] == []
    (line,) = said[2]
    assert line.startswith("a computes otherwise than at the last start")
    assert "Was slow. Is fast" in line


class Talks(ComponentConfig):
    """Says how it computes."""

    kind = "loss"
    name: Literal["mse"] = "mse"

    def about(self, *, device: str) -> str:
        return f"on {device}"


class Silent(ComponentConfig):
    """Says nothing."""

    kind = "loss"
    name: Literal["l1"] = "l1"


def test_components_say_how_they_compute() -> None:
    entry = environment([Talks(), Silent()], device="cuda:1")
    assert entry["components"] == {"loss/mse": "on cuda:1"}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    path.write_text('[{"ssl3d"')
    with pytest.raises(RunError, match=rf"{path} cannot be read any more: .*Move it away"):
        add_start(path, {})
    assert path.read_text() == '[{"ssl3d"'
