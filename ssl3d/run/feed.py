"""The stream of batches, and how long training waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ssl3d.run.run_error import RunError
from ssl3d.run.task import Batch

MUCH, AFTER = 0.2, 60.0
"""Share of the time above which waiting for data is said, once so many seconds were trained."""

ADVICE = (
    "more data.workers, a data.cache on a faster disk, a larger data.cache.memory, or a smaller "
    "data.patch may help"
)


class Feed:
    """Gives batches and measures the wait for them.

    Args:
        batches: endless.
        warn: takes a line for the user.
    """

    def __init__(self, batches: Iterator[Batch], *, warn: Callable[[str], None]) -> None:
        self._batches = batches
        self._warn = warn
        self._waited = self._all_waited = self._all_seconds = 0.0
        self._first = True
        self._said = False

    def next(self) -> Batch:
        """The next batch.

        Raises:
            RunError: there is none.
        """
        start = time.perf_counter()
        try:
            batch = next(self._batches)
        except StopIteration:
            raise RunError("the task's batches came to an end: they must be endless") from None
        if not self._first:  # which also starts the readers
            self._waited += time.perf_counter() - start
        self._first = False
        return batch

    def waited(self, seconds: float) -> float:
        """Share of the last `seconds` that was spent waiting; begins anew, and warns once."""
        self._all_waited += self._waited
        self._all_seconds += seconds
        share, self._waited = self._waited / max(seconds, 1e-9), 0.0
        if self.overall > MUCH and self._all_seconds >= AFTER and not self._said:
            self._said = True
            self._warn(
                f"{self.overall:.0%} of the time training waits for data (data_wait in "
                f"metrics.csv): {ADVICE}"
            )
        return min(1.0, share)

    @property
    def overall(self) -> float:
        """Share of all the time so far, as it was asked for, that was spent waiting."""
        return min(1.0, self._all_waited / max(self._all_seconds, 1e-9))

    def in_words(self) -> str:
        """Said at the end, with what to do where it was much."""
        told = f"Training waited for data {self.overall:.0%} of its time"
        return f"{told}: {ADVICE}" if self.overall > MUCH else told
