"""Run one operation on a sparse backend and compare what comes out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl3d.geometry import Operation
from ssl3d.interfaces import SparseBackend
from ssl3d.sparse import CellGrid, SparseVolume
from ssl3d.testing.sparse_cases import CONVOLUTIONS, Case, Inputs, draw_inputs

Results = dict[str, Tensor]
"""Values and gradients by name."""


def apply(
    backend: SparseBackend,
    op: Operation,
    x: SparseVolume,
    weight: Tensor,
    bias: Tensor | None = None,
) -> SparseVolume:
    """Run an operation on a backend; pools and interpolation take no weight."""
    if op.kind in CONVOLUTIONS:
        convolve = backend.conv3d if op.kind == "conv3d" else backend.conv_transpose3d
        return convolve(x, weight, bias, stride=op.stride, padding=op.padding, groups=op.groups)
    if op.kind == "interpolate":
        return backend.interpolate(x, scale=op.stride)
    pool = backend.max_pool3d if op.kind == "max_pool3d" else backend.avg_pool3d
    return pool(x, kernel=op.kernel, stride=op.stride, padding=op.padding)


def volume_of(
    case: Case, features: Tensor, *, cells: CellGrid, backend: SparseBackend
) -> SparseVolume:
    """Features as the input of a case."""
    return SparseVolume(features, cells, case.stride, backend)


def run(
    backend: SparseBackend,
    case: Case,
    inputs: Inputs,
    *,
    cells: CellGrid,
    dtype: torch.dtype = torch.float64,
    order: Tensor | None = None,
) -> Results:
    """Values of an operation, and gradients of a fixed weighted sum of them.

    Args:
        backend: what computes.
        case: the operation and the size of the cells.
        inputs: float64 on the CPU; moved to `dtype` and the device of `cells`.
        cells: visible cells, on the device to compute on.
        dtype: what the inputs are cast to.
        order: which of the fixed weights each cell gets; default: one after the other.
    """
    device = cells.visible.device
    leaves = Inputs(*(t.detach().to(device, dtype).requires_grad_() for t in inputs))
    x = volume_of(case, leaves.features, cells=cells, backend=backend)
    y = apply(backend, case.op, x, leaves.weight, leaves.bias)
    assert y.cells is cells
    assert y.features.is_contiguous(), "features must be contiguous, channels last"
    assert y.features.shape == (cells.n, *y.edge, case.op.channels[1])
    generator = torch.Generator().manual_seed(3)
    upstream = torch.randn(y.features.shape, generator=generator, dtype=torch.float64)
    upstream = upstream if order is None else upstream[order]
    total = (y.features * upstream.to(y.features)).sum()
    names = Inputs._fields if case.op.kind in CONVOLUTIONS else ("features",)
    gradients = torch.autograd.grad(total, [getattr(leaves, name) for name in names])
    named = {f"gradient of {n}": g for n, g in zip(names, gradients, strict=True)}
    return {"values": y.features.detach(), **named}


def gradients(
    backend: SparseBackend,
    case: Case,
    inputs: Inputs,
    *,
    cells: CellGrid,
    dtype: torch.dtype,
    frozen: str = "",
) -> Results:
    """Gradients that the inputs of a convolution get, by name; the frozen one needs none."""
    device = cells.visible.device
    leaves = {
        name: t.detach().to(device, dtype, copy=True).requires_grad_(name != frozen)
        for name, t in inputs._asdict().items()
    }
    x = volume_of(case, leaves["features"], cells=cells, backend=backend)
    y = apply(backend, case.op, x, leaves["weight"], leaves["bias"])
    torch.autograd.backward(y.features.square().sum())
    return {name: t.grad for name, t in leaves.items() if t.grad is not None}


def down_and_up(
    backend: SparseBackend,
    chain: Sequence[Case],
    *,
    cells: CellGrid,
    dtype: torch.dtype = torch.float64,
) -> Results:
    """A small encoder and decoder over `chain` with one sum between them, on 4 channels."""
    visible, device = cells.visible.cpu(), cells.visible.device

    def leaf(values: Tensor) -> Tensor:
        return values.to(device, dtype).requires_grad_()

    features = leaf(draw_inputs(chain[0], visible).features)
    layers = [
        (leaf(inputs.weight), leaf(inputs.bias))
        for inputs in (draw_inputs(case, visible, seed=i) for i, case in enumerate(chain, 1))
    ]
    stages = [SparseVolume(features, cells, (1, 1, 1), backend)]
    for case, (weight, bias) in zip(chain, layers, strict=True):
        stages.append(apply(backend, case.op, stages[-1], weight, bias).map(torch.tanh))
    skip, deep, last = stages[1], stages[3], stages[-1]
    total = (skip + deep).features.square().sum() + last.features.sum()
    leaves = [features, *(t for layer in layers for t in layer)]
    gradients = torch.autograd.grad(total, leaves)
    named = {f"gradient {i}": g for i, g in enumerate(gradients)}
    return {"values": last.features.detach(), **named}


def assert_close(actual: Results, expected: Results, *, tolerance: float) -> None:
    """Assert that each result is finite and within `tolerance` of the expected one.

    The tolerance is a share of the largest expected value, or of 1 where that is smaller.
    """
    for name, want in expected.items():
        got, want = actual[name].detach().cpu().double(), want.detach().cpu().double()
        assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
        assert bool(got.isfinite().all()), f"{name}: not finite"
        if want.numel():
            error = float((got - want).abs().max())
            bound = tolerance * max(1.0, float(want.abs().max()))
            assert error <= bound, f"{name}: off by {error:.3g}, allowed {bound:.3g}"


def assert_same(actual: Results, expected: Results) -> None:
    """Assert that results are equal to the last bit."""
    for name, want in expected.items():
        assert torch.equal(actual[name], want), f"{name}: not the same bits"
