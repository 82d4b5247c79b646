"""Weights and volumes from a formula, the same for two networks of the same names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def wave(shape: tuple[int, ...], *, number: int) -> Tensor:
    """Values between -1 and 1, in double precision."""
    k = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.7 * k + 0.013 * k * number + 1.3 * number).reshape(shape)


def fill(module: nn.Module) -> nn.Module:
    """The module in double precision with other weights, by the place of each in the alphabet."""
    module.double()
    tensors = sorted((n, p) for n, p in module.state_dict(keep_vars=True).items())
    for number, (name, tensor) in enumerate(tensors):
        values = wave(tuple(tensor.shape), number=number)
        scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.3
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        tensor.data.copy_(offset + values * scale)
    return module


def probes(x: Tensor) -> list[float]:
    """A few numbers that tell one tensor from another."""
    weights = wave(tuple(x.shape), number=5)
    x = x.detach()
    flat = x.flatten()
    return [
        float(v) for v in (flat.sum(), flat.square().sum(), (x * weights).sum(), flat[7], flat[-1])
    ]
