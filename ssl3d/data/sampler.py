"""Which crops a rank takes, and in which order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch.utils.data import Sampler


class ResumableSampler(Sampler[tuple[int, int]]):
    """Endless crop indices of one rank, each with the first of its micro-batch over all ranks.

    Micro-batch m of all ranks together is the indices from `start + m * batch_size * world`; each
    rank takes its own `batch_size` of them. A run that consumed `start` crops goes on with the
    crop after them, also with another batch size or number of ranks.

    Args:
        batch_size: crops per micro-batch and rank.
        rank: this rank, from 0.
        world: number of ranks.
        start: crops that all ranks together have consumed.
    """

    def __init__(self, *, batch_size: int, rank: int = 0, world: int = 1, start: int = 0) -> None:
        if batch_size < 1 or not 0 <= rank < world or start < 0:
            raise ValueError(
                f"batch_size {batch_size}, rank {rank}, world {world}, start {start}: batch_size "
                "and world must be at least 1, rank from 0 to world - 1, start from 0"
            )
        self._batch_size = batch_size
        self._rank = rank
        self._world = world
        self._start = start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for first in itertools.count(self._start, self._batch_size * self._world):
            own = first + self._rank * self._batch_size
            yield from ((index, first) for index in range(own, own + self._batch_size))
