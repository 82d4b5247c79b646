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
    half = autocast_dtype(x.device)
    return x if half is None or x.dtype == torch.float64 else x.to(half)


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The precision of autocast on a device; None where it is off."""
    if not _has_autocast(device.type) or not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)


def single_in_autocast(x: Tensor) -> Tensor:
    """`x` in single precision where autocast is on: what many blocks add to is not rounded each
    time, and a norm of it needs no cast. A model that is in half precision as a whole stays so.
    """
    return x if autocast_dtype(x.device) is None else at_least_single(x)


def no_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Autocast is off inside, on the device of `x`."""
    device = x.device.type
    if not _has_autocast(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def _has_autocast(device: str) -> bool:
    """False for meta, where torch refuses to answer whether it is on."""
    return torch.amp.is_autocast_available(device)
