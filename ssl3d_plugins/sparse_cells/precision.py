"""Autocast for operations that torch does not know."""

from __future__ import annotations

import torch
from torch import Tensor


def autocast(
    features: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cast to the autocast precision where autocast is on, as torch does for convolutions."""
    device = features.device.type
    if not torch.is_autocast_enabled(device) or features.dtype == torch.float64:
        return features, weight, bias
    lower = torch.get_autocast_dtype(device)
    return features.to(lower), weight.to(lower), None if bias is None else bias.to(lower)
