"""A reading process that the system ends is one readable error."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset
from torch.utils.data.dataloader import default_collate

import ssl3d.data.loader as loader_module
from ssl3d.data.data_error import DataError
from ssl3d.data.loader import CropLoader

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")


class Dies(Dataset[dict[str, Any]]):
    """Samples, one of which ends the process that reads it, not before `allowed` is set."""

    def __init__(self, at: int, number: signal.Signals, *, allowed: Any = None) -> None:
        self._at, self._number, self._allowed = at, number, allowed

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == self._at:
            if self._allowed is not None:
                self._allowed.wait(60)
            signal.signal(self._number, signal.SIG_DFL) if self._number != signal.SIGKILL else None
            os.kill(os.getpid(), self._number)
        return {"index": index}


def loader(at: int, number: signal.Signals = signal.SIGKILL, *, allowed: Any = None) -> CropLoader:
    return CropLoader(
        Dies(at, number, allowed=allowed),
        batch_size=2,
        sampler=range(20),
        workers=2,
        collate=default_collate,
    )


@pytest.mark.parametrize(
    ("number", "what"),
    [(signal.SIGKILL, "memory"), (signal.SIGBUS, r"shared memory \(/dev/shm; .*\)")],
)
def test_a_killed_reader_is_one_line(number: signal.Signals, what: str) -> None:
    said = (
        rf"^data: a reading process has ended \({number.name}\), most often because {what} "
        r"ran out. Give more of it, or lower data\.workers \(now 2\).*--resume"
    )
    with pytest.raises(DataError, match=said) as raised:
        for _ in loader(9, number):
            pass
    assert "\n" not in str(raised.value)


def test_nothing_is_raised_in_the_middle_of_something_else() -> None:
    """The process goes on with what it has until the batch of the dead reader is missing."""
    allowed = multiprocessing.Event()
    batches = iter(loader(3, allowed=allowed))
    assert next(batches)["index"].tolist() == [0, 1]
    allowed.set()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        torch.ones(10).sum()
    with pytest.raises(DataError, match="a reading process has ended"):
        next(batches)


def test_handlers_are_left_as_they_were() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader(99))
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) is before


def test_an_error_of_a_reader_that_lives_is_its_own() -> None:
    class Fails(Dies):
        def __getitem__(self, index: int) -> dict[str, Any]:
            raise OSError(f"sample {index}")

    data = Fails(0, signal.SIGKILL)
    broken = CropLoader(data, batch_size=2, sampler=range(4), workers=2, collate=default_collate)
    with pytest.raises(OSError, match="sample 0"):
        next(iter(broken))


class Numbers(Dataset[int]):
    def __getitem__(self, index: int) -> int:
        return index


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_to_readers_that_cannot_answer_yet_ends_none(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    outlive = loader_module._outlive_signals

    def late(worker: int) -> None:
        time.sleep(0.3)
        outlive(worker)

    monkeypatch.setattr(loader_module, "_outlive_signals", late)
    made = CropLoader(Numbers(), batch_size=2, sampler=range(8), workers=2, collate=list)
    batches: Any = made._batches()
    for reader in batches._workers:
        os.kill(reader.pid, number)
    assert [next(batches), next(batches)] == [[0, 1], [2, 3]]
