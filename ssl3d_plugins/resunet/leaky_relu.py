"""Leaky ReLU that keeps one feature map in memory, not two."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.sparse import FeatureMap, SparseVolume


class _KeepResult(torch.autograd.Function):
    """Leaky ReLU whose backward pass needs its result only, so that its input can be freed.

    In place, torch does the same on a tensor of its own; visible cells are a view of rows, where
    that costs a copy of its gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        y = F.leaky_relu(x, slope)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        # The last argument says that `y` is the result, not the input.
        return torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True), None


class LeakyReLU(nn.Module):
    """max(x, slope · x) for a slope above 0, on a dense tensor in place.

    It must follow a layer whose result nothing else needs.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        assert slope > 0, "the sign of the result must be that of the input"
        self.slope = slope

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        if isinstance(x, SparseVolume):
            features: Tensor = _KeepResult.apply(x.features, self.slope)  # type: ignore[no-untyped-call]
            return x.with_features(features)
        return F.leaky_relu(x, self.slope, inplace=True)

    def extra_repr(self) -> str:
        return f"slope={self.slope}"
