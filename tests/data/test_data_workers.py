"""How many reading processes a rank has where nobody says."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from ssl3d.data import workers
from ssl3d.data.spec import DataSpec
from ssl3d.data.workers import workers_of

Usage = namedtuple("Usage", ["free"])


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """16 CPUs, and 1 MiB of shared memory."""
    monkeypatch.setattr(workers, "cpus", lambda: 16)
    monkeypatch.setattr(workers, "SHARED", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 20))


@pytest.mark.parametrize(
    ("ranks", "gpu", "batch", "found"),
    [
        (1, True, 0, 15),
        (4, True, 0, 3),
        (16, True, 0, 1),
        (64, True, 0, 1),
        (1, False, 0, 2),
        (16, False, 0, 1),
        (1, True, 1 << 15, 5),  # half of it holds 16 batches, three of each reader
        (2, True, 1 << 15, 2),
        (1, True, 1 << 30, 1),
    ],
)
def test_auto_follows_cpus_ranks_and_shared_memory(
    ranks: int, gpu: bool, batch: int, found: int
) -> None:
    assert workers_of("auto", ranks=ranks, gpu=gpu, batch=batch) == found


def test_a_large_machine_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cpus", lambda: 128)
    assert workers_of("auto", gpu=True) == 16


def test_a_number_is_taken_as_it_is() -> None:
    assert [workers_of(number, ranks=9, batch=1 << 40) for number in (0, 3, 64)] == [0, 3, 64]


def test_a_spec_takes_a_number_or_auto() -> None:
    assert DataSpec(volumes="a").workers == "auto"
    assert DataSpec(volumes="a", workers=3).workers == 3
    with pytest.raises(ValueError, match="workers"):
        DataSpec(volumes="a", workers=-1)
    with pytest.raises(ValueError, match="workers"):
        DataSpec(volumes="a", workers="many")  # type: ignore[arg-type]
