"""Measured times of the ways to convolve: made, kept, read, and what is chosen by them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command import Command

from ssl3d.doctor.trials import library
from ssl3d.geometry import Operation
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.sparse_under_test import SparseBackendUnderTest
from ssl3d_plugins.sparse_cells import Cells, choice, trial
from ssl3d_plugins.sparse_cells.across import FUSED, HALO, PAIRS, Way
from ssl3d_plugins.sparse_cells.backend import CellsBackend
from ssl3d_plugins.sparse_cells.choice import choose
from ssl3d_plugins.sparse_cells.tune import measure, points, run
from ssl3d_plugins.sparse_cells.tune.points import Point
from ssl3d_plugins.sparse_cells.ways_file import (
    device_name,
    read_tables,
    versions,
    ways_folder,
    write_table,
)
from ssl3d_plugins.sparse_cells.ways_table import Shape, WaysTable

CPU = torch.device("cpu")
FAST, SLOW = {"halo": 1.0, "pairs": 2.0}, {"halo": 2.0, "pairs": 1.0}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two convolutions of few channels."""
    for name, shapes in (("SAME", ((2, 4),)), ("WIDER", ()), ("STRIDED", ((2, 4),))):
        monkeypatch.setattr(points, name, shapes)
    monkeypatch.setattr(measure, "ROUNDS", 2)


def table_of(rows: dict[Shape, dict[str, float]], **changed: Any) -> WaysTable:
    whole = {"device": device_name(CPU), "date": "2026-01-01", "versions": versions(), **changed}
    return WaysTable(rows=rows, **whole)


def convolution(**changed: Any) -> Operation:
    whole = {"kernel": (3, 3, 3), "padding": (1, 1, 1), "channels": (32, 32), **changed}
    return Operation("conv3d", **whole)


@pytest.mark.parametrize(
    ("op", "edge", "dtype", "way"),
    [
        (convolution(), (8, 8, 8), torch.float32, PAIRS),  # as measured
        (convolution(), (8, 8, 4), torch.float32, PAIRS),  # most like it
        (convolution(channels=(48, 24)), (4, 4, 4), torch.float32, PAIRS),
        (convolution(stride=(2, 2, 2)), (16, 16, 16), torch.float32, HALO),  # its own row
        (convolution(), (1, 1, 1), torch.float32, PAIRS),  # far from all rows: built-in
        (convolution(channels=(1, 1)), (8, 8, 8), torch.float32, HALO),
        (convolution(), (8, 8, 8), torch.bfloat16, HALO),  # nothing measured in half
        (convolution(groups=32), (8, 8, 8), torch.float32, HALO),  # nor with groups
    ],
)
def test_a_measured_table_takes_the_place_of_the_built_in_one(
    op: Operation, edge: tuple[int, int, int], dtype: torch.dtype, way: Way
) -> None:
    rows = {Shape(512, 32, False, False): SLOW, Shape(512, 32, True, False): FAST}
    features = torch.empty(1, *edge, op.channels[0], dtype=dtype)
    assert choose(op, features=features, table=table_of(rows)) is way


def test_a_way_that_cannot_do_it_is_passed_over() -> None:
    """The next fastest is taken: here minimal filtering, on cells that are no whole tiles."""
    table = table_of({Shape(216, 64, False, False): {"winograd": 1.0, "pairs": 2.0, "halo": 3.0}})
    features = torch.empty(1, 6, 6, 6, 64)
    assert choose(convolution(channels=(64, 64)), features=features, table=table) is PAIRS


def test_a_table_counts_for_its_device_and_versions() -> None:
    rows = {Shape(512, 32, False, False): SLOW}
    assert read_tables() == {}
    assert CellsBackend(Cells())._table(CPU) is None
    assert Cells().about(device="cpu") == "ways to convolve: built-in table"
    write_table(table_of(rows))
    write_table(table_of(rows, device="another"))
    write_table(table_of(rows, versions={**versions(), "torch": "1.0"}))
    assert set(read_tables()) == {device_name(CPU), "another"}
    read = CellsBackend(Cells())._table(CPU)
    assert read is not None
    assert read.rows == rows
    assert f"measured 2026-01-01 on {device_name(CPU)}" in Cells().about(device="cpu")


def test_a_file_that_cannot_be_read_says_what_to_do() -> None:
    path = write_table(table_of({}))
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"cannot be read: KeyError: .*ssl3d tune --clear"):
        Cells().build()


@pytest.mark.usefixtures("_small")
def test_measure_show_and_clear(ssl3d: Command) -> None:
    assert "Nothing is kept" in ssl3d("tune", "--show").out
    plan = ssl3d("tune", "--device", "cpu", "--dry-run").out
    assert "2³ sites, 4 channels, stride 2, single: halo, pairs" in plan
    assert "4 convolutions in about 90 s" in plan
    assert read_tables() == {}
    done = ssl3d("tune", "--device", "cpu", "--seconds", "300")
    assert done.code == 0, done.err
    assert "go another way than by the built-in table. Written: " in done.out
    (table,) = read_tables().values()
    strides = [(strided, half) for half in (False, True) for strided in (False, True)]
    assert {(s.strided, s.half) for s in table.rows} == set(strides)
    for shape, times in table.rows.items():
        assert shape.channels == 4
        assert set(times) == {"halo", "pairs"}
        assert min(times.values()) > 0
    kept = ssl3d("tune", "--show").out
    assert f"measured {table.date} on" in kept
    assert "halo" in kept
    assert "Removed: " in ssl3d("tune", "--clear").out
    assert "Nothing is kept" in ssl3d("tune", "--clear").out
    assert list(ways_folder().iterdir()) == []


def test_a_way_that_gives_something_else_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = PAIRS._replace(down=lambda *a, **k: 1.001 * PAIRS.down(*a, **k))
    broken = PAIRS._replace(name="broken", down=lambda *_, **__: torch.zeros(1) @ torch.zeros(2))
    monkeypatch.setattr(Point, "ways", lambda *_: (HALO, wrong, broken))
    found = measure.measure(Point(2, 4, 1, "single"), device=CPU, seconds=0, grid=2)
    assert list(found.milliseconds) == ["halo"]
    assert found.wrong["pairs"].startswith("values off by 0.001")
    assert found.wrong["broken"].startswith("RuntimeError")


@pytest.mark.usefixtures("_small")
def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that each look puts forward; what is left over is named."""
    ticks = itertools.count()
    monkeypatch.setattr(measure, "CLOCK", lambda: float(next(ticks)))
    monkeypatch.setattr(run, "CLOCK", lambda: float(next(ticks)))
    at, seen = points.points(CPU), list[Point]()
    tuned = run.tune(at, device=CPU, seconds=10, on_point=seen.append)
    assert 0 < len(tuned.found) < len(at)
    assert list(tuned.found) == seen
    assert (*tuned.found, *tuned.left) == at


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "tpu"), "allowed: cpu, cuda, cuda:1"),
        (("--device", "cuda:99"), "but torch reaches"),
        (("--show", "--clear"), "give one of"),
        (("--seconds", "0"), "greater than or equal to 1"),
    ],
)
def test_what_is_refused(ssl3d: Command, arguments: tuple[str, ...], said: str) -> None:
    done = ssl3d("tune", *arguments)
    assert done.code == 2
    assert said in done.err


def test_the_file_is_plain(tmp_path: Path) -> None:
    """For people, and for other programs."""
    path = write_table(table_of({Shape(8, 16, True, False): FAST}, threads=2))
    assert path.is_relative_to(tmp_path)
    (row,) = json.loads(path.read_text())["rows"]
    shape = {"sites": 8, "channels": 16, "strided": True, "half": False}
    assert row == {**shape, "milliseconds": FAST}


@pytest.mark.parametrize(
    ("change", "why", "way"),
    [
        ({}, "", FUSED),
        ({}, "no C compiler", HALO),
        ({"groups": 4}, "", HALO),
        ({"kernel": (5, 5, 5), "padding": (2, 2, 2)}, "", HALO),
    ],
)
def test_what_cuda_takes(
    change: dict[str, Any], why: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused kernels where they work and fit; a measured table may prefer halo boxes to them."""
    monkeypatch.setattr(choice, "trouble", lambda _: why)
    features: Any = SimpleNamespace(
        shape=(1, 1, 2, 2, 32), dtype=torch.bfloat16, device=torch.device("cuda", 0)
    )
    assert choose(convolution(**change), features=features) is way
    table = table_of({Shape(4, 32, False, True): {"halo": 1.0, "fused": 2.0}})
    assert choose(convolution(**change), features=features, table=table) is HALO


def test_why_fused_kernels_are_not_used_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a machine with an old GPU, without Triton, or without a compiler gives it."""
    assert trial.trouble(torch.device("cuda", 0)) == "no GPU is there" or torch.cuda.is_available()
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (7, 5))
    look = trial._trouble.__wrapped__
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert look(0).startswith("Triton is not installed: pip install")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    assert look(0) == "compute capability 8.0 or later is needed, this GPU has 7.5"
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: (9, 0))

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Failed to find\nC compiler")

    monkeypatch.setattr(trial, "Trial", fails)
    assert look(0) == "RuntimeError: Failed to find C compiler"


def test_nothing_imports_triton_before_it_is_used(run_python: Any) -> None:
    code = (
        "import sys, ssl3d_plugins.sparse_cells; print('torch' in sys.modules)\n"
        "from ssl3d_plugins.sparse_cells import Cells; print('torch' in sys.modules)\n"
        "import torch; before = 'triton' in sys.modules; Cells().build()\n"
        "print('ssl3d_plugins.sparse_cells.fused.kernels' in sys.modules)\n"
        "print('triton' in sys.modules and not before)"
    )
    done = run_python(code)
    assert done.stdout.split() == ["False"] * 4, done.stdout + done.stderr


def test_a_choice_by_a_table_is_no_break_in_a_graph() -> None:
    """Names of devices are read while it is traced."""
    write_table(table_of({Shape(64, 8, False, False): SLOW}))
    cells, weight = (
        CellGrid(torch.ones(1, 2, 2, 2).bool(), cell=(4, 4, 4)),
        torch.randn(8, 8, 3, 3, 3),
    )
    sparse = Cells().build()

    def convolve(x: torch.Tensor) -> torch.Tensor:
        given = SparseVolume(x, cells, (1, 1, 1), sparse)
        return sparse.conv3d(given, weight, padding=(1, 1, 1)).features

    x = torch.randn(cells.n, 4, 4, 4, 8)
    want = convolve(x)  # makes the tables of the grid too
    torch.testing.assert_close(torch.compile(convolve, backend="eager", fullgraph=True)(x), want)


def test_doctor_says_by_which_table_ways_are_chosen() -> None:
    tried = SparseBackendUnderTest(Cells(), torch.float32, 1e-3, "cpu")
    assert library(tried) == "CellsBackend loads; ways to convolve: built-in table"
