"""Random generators that are pure functions of what they are for.

Nothing random is carried from step to step, so a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NamedTuple

import torch


class Stream(IntEnum):
    """What random numbers are for; no two uses of one seed share numbers."""

    VIEWS = 0
    HELD_OUT = 1
    LOSS = 2
    HELD_OUT_LOSS = 3
    LAYERS = 4
    ORDER = 5
    PLACE = 6
    POINTS = 7
    PROBE = 8
    TRIAL = 9
    AUGMENT = 10


class Seeds(NamedTuple):
    """Where the random numbers of one sample come from.

    Attributes:
        seed: of the run.
        sample: number of the sample.
        first: number of the first sample of the micro-batch over all ranks.
        stream: what they are for.
    """

    seed: int
    sample: int
    first: int
    stream: Stream = Stream.VIEWS

    def of_sample(self, *numbers: int) -> torch.Generator:
        """For what is drawn anew for each sample."""
        return generator(self.seed, self.stream, 0, self.sample, *numbers)

    def of_batch(self, *numbers: int) -> torch.Generator:
        """For what is alike in all samples of a micro-batch."""
        return generator(self.seed, self.stream, 1, self.first, *numbers)


def derived_seed(seed: int, *numbers: int) -> int:
    """A seed for one purpose: a hash, so that neighbouring numbers give unrelated seeds."""
    digest = hashlib.blake2b(repr((seed, *map(int, numbers))).encode(), digest_size=4).digest()
    # The CPU generator of torch takes no more than 32 bits.
    return int.from_bytes(digest, "little")


def generator(seed: int, *numbers: int) -> torch.Generator:
    """A CPU generator that depends on (seed, *numbers) alone."""
    return torch.Generator().manual_seed(derived_seed(seed, *numbers))


@contextmanager
def weights_seed(seed: int) -> Iterator[None]:
    """Seed torch's global state for a while: modules draw their weights from it on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def global_seed(seed: int, *numbers: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global state for a while: layers such as dropout have no other source."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(seed, *numbers))
        yield
