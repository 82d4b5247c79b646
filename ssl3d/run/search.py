"""Kernels that cuDNN chooses by trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def searching() -> Iterator[None]:
    """Have cuDNN try its kernels inside: for shapes that stay, since each new shape is tried anew.

    Not where operations must give the same bits each time: a trial may choose another kernel.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
