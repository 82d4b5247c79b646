"""Two views of the same memory: channels last, as features are, and first, as torch asks."""

from __future__ import annotations

from torch import Tensor


def channels_first(features: Tensor) -> Tensor:
    """(N, …, C) seen as (N, C, …): torch calls this channels-last memory."""
    return features.permute(0, 4, 1, 2, 3)


def channels_last(boxes: Tensor) -> Tensor:
    """(N, C, …) as contiguous (N, …, C)."""
    return boxes.permute(0, 2, 3, 4, 1).contiguous()
