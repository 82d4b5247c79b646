"""Layers that work at each site by itself."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from ssl3d.sparse import FeatureMap, SparseVolume


def on_channels(x: FeatureMap, function: Callable[[Tensor], Tensor]) -> FeatureMap:
    """Apply a function over the channel axis, which it finds last."""
    if isinstance(x, SparseVolume):
        return x.map(function)
    return function(x.movedim(1, -1)).movedim(-1, 1)


def elementwise(x: FeatureMap, function: Callable[[Tensor], Tensor]) -> FeatureMap:
    """Apply a function that does not care for the order of axes."""
    return x.map(function) if isinstance(x, SparseVolume) else function(x)


class Linear(nn.Linear):
    """The same linear map of the channels at every site (a k = 1 convolution)."""

    def forward(self, x: FeatureMap) -> FeatureMap:  # type: ignore[override]
        """C_in to C_out channels."""
        return on_channels(x, super().forward)


class Activation(nn.Module):
    """An elementwise function such as `nn.GELU()` on a dense or sparse volume."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: FeatureMap) -> FeatureMap:
        """Same shape as the input."""
        return elementwise(x, self.function)
