"""How linear maps start."""

from __future__ import annotations

from torch import nn


def init_linear(module: nn.Module) -> None:
    """Normal with deviation 0.02, biases 0: logits start near 0 at every wavelet level."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
