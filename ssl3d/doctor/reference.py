"""What a sparse backend must give: the same layers by the definition, without any backend."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl3d.geometry import Operation, Triple, quotient, times
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.sparse.layers import BatchNorm, Conv3d, ConvTranspose3d

Apply = Callable[[nn.Module, SparseVolume], SparseVolume]
"""How a network calls its layers."""


class Network(nn.Module):
    """Layers one after the other, called through `apply`, so that two ways can be compared."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: SparseVolume, *, apply: Apply) -> SparseVolume:
        """The visible part of a volume to that of the last layer's result."""
        for layer in self.layers:
            x = apply(layer, x)
        return x

    def operations(self) -> Iterator[Operation]:
        """What it asks of a sparse backend."""
        for layer in self.layers:
            if isinstance(layer, Conv3d | ConvTranspose3d):
                yield operation_of(layer)


def operation_of(layer: Conv3d | ConvTranspose3d) -> Operation:
    """What a layer asks of a sparse backend."""
    return Operation(
        "conv3d" if isinstance(layer, Conv3d) else "conv_transpose3d",
        layer.kernel,
        layer.factor,
        layer.border,
        layer.groups,
        (layer.in_channels, layer.out_channels),
    )


def directly(layer: nn.Module, x: SparseVolume) -> SparseVolume:
    """As a backbone calls it: the backend of `x` computes."""
    y = layer(x)
    assert isinstance(y, SparseVolume)
    return y


def densely(layer: nn.Module, x: SparseVolume) -> SparseVolume:
    """Zero-fill the hidden sites, run the dense layer, keep the visible cells."""
    if isinstance(layer, BatchNorm):
        rows = x.sites
        assert layer.bias is not None
        deviation = (rows.var(0, correction=0) + layer.eps).sqrt()
        return x.with_features((rows - rows.mean(0)) / deviation * layer.weight + layer.bias)
    if not isinstance(layer, Conv3d | ConvTranspose3d):
        return directly(layer, x)  # at each site by itself
    stride = (times if isinstance(layer, Conv3d) else quotient)(x.stride, layer.factor)
    dense = layer(x.to_dense())
    assert isinstance(dense, Tensor)
    return x.with_features(x.cells.gather(dense, stride=stride), stride=stride)


class Problem(NamedTuple):
    """A network and what it is given.

    Attributes:
        network: on the CPU, parameters drawn by `draw_problem`.
        visible: (B, Gd, Gh, Gw) bool.
        cell: sites per cell.
        features: (N, cd, ch, cw, C) of the visible cells.
    """

    network: Network
    visible: Tensor
    cell: Triple
    features: Tensor

    @property
    def sites(self) -> int:
        """Visible sites of the input."""
        return self.features[..., 0].numel()


def draw_problem(
    *layers: nn.Module, visible: Tensor, cell: Triple, channels: int, dtype: torch.dtype
) -> Problem:
    """Random parameters and features; `dtype` is the precision of the reference."""
    generator = torch.Generator().manual_seed(0)
    network = Network(*layers).to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=dtype)
            fan = max(1, parameter[0].numel()) if parameter.dim() > 1 else 4
            parameter.copy_(noise * fan**-0.5 + (parameter.dim() == 1))
    shape = (int(visible.sum()), *cell, channels)
    return Problem(
        network, visible, cell, torch.randn(shape, generator=generator, dtype=torch.float64)
    )


Values = dict[str, Tensor]
"""Results by name, on the CPU."""


class Solution(NamedTuple):
    """What came out of a network, and the gradients of its input and parameters."""

    values: Values
    gradients: Values


def solve(
    problem: Problem,
    *,
    backend: SparseBackend,
    apply: Apply,
    device: torch.device,
    dtype: torch.dtype,
) -> Solution:
    """Forward and backward of a fixed weighted sum of the result."""
    network = copy.deepcopy(problem.network).to(device, dtype)
    features = problem.features.to(device, dtype, copy=True).requires_grad_()
    cells = CellGrid(problem.visible.to(device), cell=problem.cell)
    y = network(SparseVolume(features, cells, (1, 1, 1), backend), apply=apply)
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(y.features.shape, generator=generator, dtype=torch.float64)
    (y.features * upstream.to(device, dtype)).sum().backward()
    gradients = {"features": features.grad, **{n: p.grad for n, p in network.named_parameters()}}
    return Solution(
        values={"result": y.features.detach().cpu()},
        gradients={name: g.cpu() for name, g in gradients.items() if g is not None},
    )
