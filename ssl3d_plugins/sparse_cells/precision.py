"""Autocast for operations that torch does not know."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast to the autocast precision where autocast is on, as torch does for convolutions."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    lower = torch.get_autocast_dtype(device)
    return tuple(t if t.dtype == torch.float64 else t.to(lower) for t in tensors)


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision to add up in: single for half precision, as dense kernels do."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def at_least_single(x: Tensor) -> Tensor:
    """`x` in single precision where it is in half: for libraries that lack half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
