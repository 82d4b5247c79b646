"""What a sparse backend is tried on, from creating tensors to a million sites."""

from __future__ import annotations

import torch
from torch import nn

from ssl3d.doctor.check import NotThere, Wrong
from ssl3d.doctor.comparison import Subject, compare
from ssl3d.doctor.reference import Problem, draw_problem, operation_of
from ssl3d.geometry import Operation, Triple, quotient
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.sparse.layers import Activation, AvgPool3d, BatchNorm, Conv3d, ConvTranspose3d, MaxPool3d
from ssl3d.sparse.operations import result_stride

CELL: Triple = (4, 4, 4)


def tensor_creation(subject: Subject) -> str:
    """Sites go into the library and come back in their order: a kernel that changes nothing."""
    problem = _problem(Conv3d(8, 8, kernel=3, bias=False), channels=8)
    with torch.no_grad():
        (weight,) = problem.network.parameters()
        weight.zero_()[range(8), range(8), 1, 1, 1] = 1.0
    error = compare(subject, problem).values()
    return f"{problem.sites} sites come back in their order, off by {error:.0e}"


def convolution(subject: Subject) -> str:
    """Values and gradients of the kernels and strides that backbones are made of."""
    layers = {
        "3³": Conv3d(8, 12, kernel=3),
        "3³ stride 2": Conv3d(8, 12, kernel=3, stride=2),
        "1 × 3 × 3 stride 1 × 2 × 2": Conv3d(8, 12, kernel=(1, 3, 3), stride=(1, 2, 2)),
        "2³ stride 2": Conv3d(8, 12, kernel=2, stride=2),
        "3³ depthwise": Conv3d(8, 8, kernel=3, groups=8),
    }
    errors, lacking = [0.0], []
    for name, layer in layers.items():
        try:
            errors.append(compare(subject, _problem(layer, channels=8)).all())
        except NotThere:
            lacking.append(name)
        except Wrong as error:
            raise Wrong(f"{name}: {error}", advice=error.advice) from error
    if len(lacking) == len(layers):
        raise NotThere("the library has no convolution of these kinds")
    without = f"; the library lacks {', '.join(lacking)}" if lacking else ""
    return f"{len(layers) - len(lacking)} kinds, {_off(max(errors))}{without}"


def batch_norm(subject: Subject) -> str:
    """Statistics over visible sites, also where a sample shows nothing."""
    problem = _problem(Conv3d(8, 12, kernel=3, bias=False), BatchNorm(12), channels=8)
    return _off(compare(subject, problem).all())


def many_channels(subject: Subject) -> str:
    """625 sites with 256 channels: the last stages of a network."""
    visible = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    visible.view(-1)[[0, 1, 3, 6, 7]] = True
    problem = draw_problem(
        Conv3d(256, 256, kernel=3),
        visible=visible,
        cell=(5, 5, 5),
        channels=256,
        dtype=torch.float64,
    )
    return _off(compare(subject, problem).all())


def many_sites(subject: Subject) -> str:
    """A million sites with 4 channels: the first stages of a network."""
    visible = torch.zeros(1, 10, 10, 20, dtype=torch.bool)
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    visible.view(-1)[order[:1000]] = True
    # A dense convolution in double precision would unfold 2 GiB here.
    single = torch.float32
    layer = Conv3d(4, 4, kernel=3)
    problem = draw_problem(layer, visible=visible, cell=(10, 10, 10), channels=4, dtype=single)
    return _off(compare(subject, problem, dtype=single).all())


def network(subject: Subject) -> str:
    """Values of a network that goes down one stage and up again."""
    return _off(compare(subject, _down_and_up()).values())


def backward(subject: Subject) -> str:
    """Gradients of the same network: of its input and of every parameter."""
    return _off(compare(subject, _down_and_up()).gradients())


def empty_input(subject: Subject) -> str:
    """No visible cell: results without rows, gradients of zero, and the process lives on."""
    wide = (4, 4)
    layers: dict[nn.Module, Operation] = {
        layer: operation_of(layer)
        for layer in (
            Conv3d(4, 4, kernel=3),
            Conv3d(4, 4, kernel=3, stride=2),
            ConvTranspose3d(4, 4, kernel=2, stride=2),
        )
    }
    max_pool, avg_pool = MaxPool3d(kernel=3, stride=2), AvgPool3d(kernel=3, stride=2)
    size = (max_pool.kernel, max_pool.stride, max_pool.padding)
    layers[max_pool] = Operation("max_pool3d", *size, channels=wide)
    layers[avg_pool] = Operation("avg_pool3d", *size, channels=wide)
    usable = {layer: op for layer, op in layers.items() if subject.config.supports(op)}
    for layer, op in usable.items():
        _nothing_through(layer.to(subject.device), op, subject)
    return f"{len(usable)} operations, forward and backward"


def _nothing_through(layer: nn.Module, op: Operation, subject: Subject) -> None:
    hidden = torch.zeros(2, 2, 2, 2, dtype=torch.bool, device=subject.device)
    features = torch.zeros(0, *CELL, 4, device=subject.device, requires_grad=True)
    cells = CellGrid(hidden, cell=(8, 8, 8))
    x = SparseVolume(features, cells, (2, 2, 2), subject.backend)
    y = layer(x)
    stride = result_stride(x, op, config=subject.config)
    shape = (0, *quotient(cells.cell, stride), 4)
    if y.features.shape != shape or y.stride != stride:
        raise Wrong(f"{layer} gives {tuple(y.features.shape)}, expected {shape}")
    y.features.sum().backward()
    for name, parameter in layer.named_parameters():
        if parameter.grad is not None and bool(parameter.grad.count_nonzero()):
            raise Wrong(f"{layer} gives its {name} a gradient from no site at all")


def _down_and_up() -> Problem:
    return _problem(
        Conv3d(8, 16, kernel=3, bias=False),
        BatchNorm(16),
        Activation(nn.functional.gelu),
        Conv3d(16, 32, kernel=3, stride=2, bias=False),
        BatchNorm(32),
        Activation(nn.functional.gelu),
        Conv3d(32, 32, kernel=3),
        ConvTranspose3d(32, 16, kernel=2, stride=2),
        Conv3d(16, 8, kernel=3),
        channels=8,
    )


def _problem(*layers: nn.Module, channels: int) -> Problem:
    """Three samples of 3 × 4 × 3 cells: some are visible, none, and all."""
    visible = torch.rand(3, 3, 4, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    visible[1], visible[2] = False, True
    return draw_problem(*layers, visible=visible, cell=CELL, channels=channels, dtype=torch.float64)


def _off(error: float) -> str:
    return f"off by {error:.0e} of the dense reference"
