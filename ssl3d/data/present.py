"""Channels that a sample has, where others of its set have more."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl3d.data.data_error import DataError, DataWarning
from ssl3d.data.source import Source


def say_lacking(sources: Sequence[Source], *, names: Sequence[str]) -> None:
    """Warn of how many samples lack which channels (`DataWarning`).

    Raises:
        DataError: nobody has one of them.
    """
    if not any(source.lacking for source in sources):
        return
    counts = {name: sum(i in s.lacking for s in sources) for i, name in enumerate(names)}
    nobody = [name for name, count in counts.items() if count == len(sources)]
    if nobody:
        raise DataError(f"data: no sample has the channel {' or '.join(nobody)}: leave it out")
    lacking = ", ".join(f"{count} lack {name}" for name, count in counts.items() if count)
    warnings.warn(
        f"data: of {len(sources)} samples {lacking}: what is absent is 0 to the encoder, and "
        "counts in no loss",
        DataWarning,
        stacklevel=3,
    )


def present_of(source: Source, *, channels: int) -> Tensor:
    """(C,) bool: True for channels that there is a file for."""
    present = torch.ones(channels, dtype=torch.bool)
    present[list(source.lacking)] = False
    return present


def with_absent(volume: NDArray[np.float32], *, source: Source) -> NDArray[np.float32]:
    """The channels of its files (K, z, y, x) as those of the set (C, z, y, x), 0 where absent."""
    if not source.lacking:
        return volume
    whole = np.zeros((len(volume) + len(source.lacking), *volume.shape[1:]), volume.dtype)
    whole[list(source.numbers)] = volume
    return whole
