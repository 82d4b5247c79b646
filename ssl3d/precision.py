"""Half precision around what needs more: sums, and libraries that lack it."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def at_least_single(x: Tensor) -> Tensor:
    """`x` in single precision where it is in half."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def double(x: Tensor) -> Tensor:
    """`x` in double precision, on the CPU where its device has none (Apple's GPUs)."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def as_autocast(x: Tensor) -> Tensor:
    """A result in the autocast precision where autocast is on, as torch's convolutions give it."""
    device = x.device.type
    if not _has_autocast(device) or not torch.is_autocast_enabled(device):
        return x
    return x if x.dtype == torch.float64 else x.to(torch.get_autocast_dtype(device))


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast is off inside, on the device of `x`."""
    device = x.device.type
    if not _has_autocast(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def _has_autocast(device: str) -> bool:
    """False for meta, where torch refuses to answer whether it is on."""
    return torch.amp.is_autocast_available(device)
