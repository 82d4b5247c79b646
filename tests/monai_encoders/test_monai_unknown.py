"""A network with a part that has no form on visible cells is refused, and the part is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ssl3d.geometry import Stage
from ssl3d_plugins.monai_encoders.backbone import TracedBackbone

STAGES = [Stage((1, 1, 1), 2)]


class Network(nn.Module):
    """A convolution, then a part, then what a function makes of its result."""

    def __init__(self, part: nn.Module, function: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 2, 3, padding=1)
        self.body = nn.Sequential(part)
        self.function = function or (lambda x: x)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.function(self.body(self.first(x))),)


class OwnConvolution(nn.Conv3d):
    """It may compute anything."""


def test_known_parts_are_accepted() -> None:
    TracedBackbone(Network(nn.ReLU(), lambda x: x + x), stages=STAGES)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (nn.Dropout3d(0.5), r"Network cannot .*: body\.0: Dropout3d has no form"),
        (nn.Softmax(1), r"body\.0: Softmax"),
        (nn.AdaptiveAvgPool3d(1), r"body\.0: AdaptiveAvgPool3d"),
        (nn.Upsample(scale_factor=2), r"body\.0: Upsample"),
        (nn.ConvTranspose3d(2, 2, 2, 2), r"body\.0: ConvTranspose3d"),
        (nn.BatchNorm3d(2, track_running_stats=False), r"body\.0: BatchNorm3d"),
        (nn.InstanceNorm3d(2), r"body\.0: InstanceNorm3d"),
        (OwnConvolution(2, 2, 3), r"body\.0: OwnConvolution"),
        (nn.Conv3d(2, 2, 3, dilation=2), r"body\.0: Conv3d has dilation=\(2, 2, 2\)"),
        (nn.Conv3d(2, 2, 3, padding="same"), r"body\.0: Conv3d has padding='same'"),
        (nn.Conv3d(2, 2, 3, padding_mode="reflect"), r"Conv3d has padding_mode='reflect'"),
        (nn.MaxPool3d(2, ceil_mode=True), r"body\.0: MaxPool3d has ceil_mode=True"),
        (nn.AvgPool3d(3, count_include_pad=False), r"AvgPool3d has count_include_pad=False"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_an_unknown_module_is_named(part: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TracedBackbone(Network(part), stages=STAGES)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: F.relu(x), "relu"),
        (lambda x: torch.cat([x, x], 1), "cat"),
        (lambda x: F.interpolate(x, scale_factor=2), "interpolate"),
        (lambda x: x * x, "mul"),
        (lambda x: x + 1, "add"),
        (lambda x: torch.add(x, x, alpha=2), "add"),
        (lambda x: x.mean((2, 3, 4), keepdim=True), "mean"),
        (lambda x: x.data, "getattr"),
        (lambda x: x[:, :1], "getitem"),
    ],
)
def test_an_unknown_function_is_named(function: Callable[[Tensor], Tensor], name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}\(.*\) has no form on visible cells"):
        TracedBackbone(Network(nn.ReLU(), function), stages=STAGES)


def test_a_decision_by_values_is_refused() -> None:
    with pytest.raises(ValueError, match="Network cannot run on visible cells"):
        TracedBackbone(Network(nn.ReLU(), lambda x: x if x.sum() > 0 else -x), stages=STAGES)


def test_two_volumes_or_a_list_are_refused() -> None:
    class Listing(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [x]

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            return (x + y,)

    for network in (Listing(), Two()):
        with pytest.raises(ValueError, match="must map one volume to a tuple"):
            TracedBackbone(network, stages=STAGES)
