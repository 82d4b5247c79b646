"""A data loader that keeps readable errors readable across worker processes."""

from __future__ import annotations

import multiprocessing.connection
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ssl3d.data.data_error import DataError


class _Guarded(Dataset[Any]):
    """Hands a `DataError` on as a value: the loader would wrap it in the worker's traceback."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __getitem__(self, place: Any) -> Any:
        try:
            return self._dataset[place]
        except DataError as error:
            return error


@dataclass(frozen=True)
class _Collate:
    """Joins samples, or hands on the first error among them."""

    join: Callable[[list[Any]], Any]

    def __call__(self, samples: list[Any]) -> Any:
        errors = [sample for sample in samples if isinstance(sample, DataError)]
        return errors[0] if errors else self.join(samples)


STOP = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""What asks a run to stop; Windows lacks the last."""


def _outlive_signals(worker: int) -> None:  # noqa: ARG001  (torch's signature)
    """Ctrl-C, and a scheduler's request to stop, reach every process of a run at once: its readers
    stay until it has finished its step and ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):  # Windows lacks it
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)


def _ignore_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """The next signal comes from torch, which has waited for this process long enough."""
    signal.signal(number, signal.SIG_DFL)


@contextmanager
def sigchld_kept() -> Iterator[None]:
    """Around the start of torch's workers: its handler of SIGCHLD would raise in the middle of
    whatever the process is at, from then on.
    """
    if not hasattr(signal, "SIGCHLD"):  # Windows
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGCHLD) is not before:
            signal.signal(signal.SIGCHLD, before)


class CropLoader(DataLoader[Any]):
    """Batches of what a dataset makes, in pinned memory where there is a GPU.

    Args:
        dataset: of samples.
        batch_size: samples per batch.
        sampler: gives the places that the dataset is asked for.
        workers: loading processes; 0: this one.
        collate: joins samples.

    Raises:
        DataError: while iterating, as the dataset raised it.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        batch_size: int,
        sampler: Sampler[Any] | Sequence[int],
        workers: int,
        collate: Callable[[list[Any]], Any],
    ) -> None:
        super().__init__(
            _Guarded(dataset),
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_Collate(collate),
            worker_init_fn=_outlive_signals,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        error: DataError | None = None
        try:
            for batch in self._batches():
                if isinstance(batch, DataError):
                    error = batch
                    break
                yield batch
        except (RuntimeError, EOFError, OSError):
            error = self._of_dead_reader()
            if error is None:
                raise
        if error is not None:
            # End the workers now: a traceback that someone keeps would keep them too, and ending
            # them from the garbage collector takes five seconds each.
            self._iterator = None
            raise error

    def _batches(self) -> Iterator[Any]:
        """torch's batches. A worker that dies is found here, where its batch is missing."""
        # Readers inherit the mask: one that is asked to stop before it can answer would be ended.
        masks = hasattr(signal, "pthread_sigmask")  # Windows has none
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP) if masks else set()
        try:
            with sigchld_kept():
                batches = super().__iter__()
        finally:
            if masks:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return batches

    def _of_dead_reader(self) -> DataError | None:
        """What to say of a reading process that has ended; None where none has.

        Its death may show in what it was sending, before the system says that it is dead.
        """
        workers = getattr(self._iterator, "_workers", ())
        ended = multiprocessing.connection.wait([worker.sentinel for worker in workers], timeout=1)
        for worker in workers:
            if worker.sentinel in ended:
                worker.join()
        codes = sorted({worker.exitcode for worker in workers} - {None})
        if not codes:
            return None
        names = [signal.Signals(-code).name if code < 0 else f"code {code}" for code in codes]
        shared = "shared memory (/dev/shm; docker run --shm-size)"
        what = shared if "SIGBUS" in names else "memory"
        return DataError(
            f"data: a reading process has ended ({', '.join(names)}), most often because {what} "
            f"ran out. Give more of it, or lower data.workers (now {self.num_workers}) or "
            "data.cache.memory, and go on from the last checkpoint (--resume, resume=True)"
        )
