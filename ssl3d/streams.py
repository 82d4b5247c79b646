"""Random generators that are pure functions of what they are for.

Nothing random is carried from step to step, so a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What random numbers of a step are for; no two uses of one seed share numbers."""

    MASK = 0
    LOSS = 1
    LAYERS = 2
    HELD_OUT = 3
    HELD_OUT_LOSS = 4


class CropStream(IntEnum):
    """What random numbers of the data are for; NumPy's, and so apart from those of a step."""

    ORDER = 0
    PLACE = 1


def crop_generator(seed: int, *, stream: CropStream, number: int) -> np.random.Generator:
    """NumPy's generator for the `number`-th pass over the volumes, or crop."""
    return np.random.default_rng((seed, int(stream), number))


def point_generator() -> np.random.Generator:
    """NumPy's generator for the points of a volume that crops are placed on: alike in all runs."""
    return np.random.default_rng(0)


def probe_generator(number: int) -> torch.Generator:
    """A CPU generator for the sites that a probe is fitted on in the `number`-th labelled crop."""
    return torch.Generator().manual_seed(number)


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
