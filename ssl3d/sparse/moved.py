"""Tensors, from one device to another."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The same on another device, without waiting; what comes to a CPU is waited for.

    There it could be read before it has arrived.
    """
    return tensor.to(device, non_blocking=torch.device(device).type != "cpu")
