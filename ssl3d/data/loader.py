"""A data loader that keeps readable errors readable across worker processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import default_collate

from ssl3d.data.data_error import DataError


class _Guarded(Dataset[Any]):
    """Hands a `DataError` on as a value: the loader would wrap it in the worker's traceback."""

    def __init__(self, dataset: Dataset[dict[str, Any]]) -> None:
        self._dataset = dataset

    def __getitem__(self, index: int) -> dict[str, Any] | DataError:
        try:
            return self._dataset[index]
        except DataError as error:
            return error


def _collate(samples: list[Any]) -> Any:
    errors = [sample for sample in samples if isinstance(sample, DataError)]
    return errors[0] if errors else default_collate(samples)


def _outlive_signals(worker: int) -> None:  # noqa: ARG001  (torch's signature)
    """Ctrl-C, and a scheduler's request to stop, reach every process of a run at once: its readers
    stay until it has finished its step and ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):  # Windows lacks it
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)


def _ignore_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """The next signal comes from torch, which has waited for this process long enough."""
    signal.signal(number, signal.SIG_DFL)


class CropLoader(DataLoader[Any]):
    """Batches of crops: `volume` (B, C, *patch), `valid` (B, *patch), `index` (B,), `source`.

    Raises:
        DataError: while iterating, as the dataset raised it.
    """

    def __init__(
        self,
        dataset: Dataset[dict[str, Any]],
        *,
        batch_size: int,
        sampler: Sampler[int],
        workers: int,
    ) -> None:
        super().__init__(
            _Guarded(dataset),
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=_collate,
            worker_init_fn=_outlive_signals,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        error: DataError | None = None
        for batch in super().__iter__():
            if isinstance(batch, DataError):
                error = batch
                break
            yield batch
        if error is not None:
            # End the workers now: a traceback that someone keeps would keep them too, and ending
            # them from the garbage collector takes five seconds each.
            self._iterator = None
            raise error
