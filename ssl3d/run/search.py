"""Kernels that cuDNN chooses by trial."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def searching(wanted: bool) -> Iterator[None]:
    """Have cuDNN try its kernels inside, where it is `wanted`: for shapes that stay, since each new
    shape is tried anew.
    """
    with _benchmark(wanted or torch.backends.cudnn.benchmark):
        yield


@contextmanager
def not_searching() -> Iterator[None]:
    """Have cuDNN take the kernels inside that it holds for the best, without a trial."""
    with _benchmark(False):
        yield


@contextmanager
def _benchmark(value: bool) -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = value
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
