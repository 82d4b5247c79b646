"""Rotary positions on three axes, as EVA-02 has them on two (arXiv 2303.11331).

A head's channels are pairs of neighbours, a third of the pairs for each axis. The i-th of an axis'
n pairs turns by 10000^(-i/n) for each token along it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BASE = 10000.0


class Turns(NamedTuple):
    """Cosine and sine of the angle of each pair of channels of each token, (T, 1, d / 2)."""

    cos: Tensor
    sin: Tensor


def turns(places: Tensor, *, channels: int, dtype: torch.dtype) -> Turns:
    """Of tokens at `places` (T, 3), for heads of d = `channels`; at least single precision."""
    precise = torch.promote_types(dtype, torch.float32)
    pairs = channels // 6
    steps = torch.arange(pairs, device=places.device, dtype=precise)
    angles = (places.to(precise)[:, :, None] * BASE ** (-steps / pairs)).flatten(1)[:, None]
    return Turns(angles.cos(), angles.sin())


def rotate(x: Tensor, by: Turns) -> Tensor:
    """Queries or keys (T, heads, d), of the same shape and dtype."""
    a, b = x.view(*x.shape[:-1], x.shape[-1] // 2, 2).unbind(-1)
    turned = torch.stack([a * by.cos - b * by.sin, b * by.cos + a * by.sin], -1)
    return turned.flatten(-2).to(x.dtype)
