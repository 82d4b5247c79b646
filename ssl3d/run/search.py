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
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted or before
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
