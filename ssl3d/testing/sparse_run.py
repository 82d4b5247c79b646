"""Run one operation on a sparse backend, or by its definition, and compare what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ssl3d.geometry import Operation, quotient, times
from ssl3d.sparse import CellGrid, SparseBackend, SparseVolume
from ssl3d.testing.check import largest_error, require
from ssl3d.testing.sparse_cases import CONVOLUTIONS, FINER, Case, Inputs, draw_inputs

Results = dict[str, Tensor]
"""Values and gradients by name."""

Apply = Callable[[SparseBackend, Operation, SparseVolume, Tensor, Tensor | None], SparseVolume]
"""How an operation is computed: `apply` or `by_definition`."""


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


def by_definition(
    _: SparseBackend, op: Operation, x: SparseVolume, weight: Tensor, bias: Tensor | None = None
) -> SparseVolume:
    """Zero-fill the hidden sites, run torch's operation, keep the visible cells; no backend.

    Hidden sites are -inf for a maximum. Each cell is interpolated as a volume of its own.
    """
    stride = (quotient if op.kind in FINER else times)(x.stride, op.stride)
    if op.kind == "interpolate":
        scale = tuple(float(s) for s in op.stride)
        finer = F.interpolate(x.features.movedim(-1, 1), scale_factor=scale, mode="trilinear")
        return x.with_features(finer.movedim(1, -1).contiguous(), stride=stride)
    fill = torch.full((x.channels,), -torch.inf) if op.kind == "max_pool3d" else None
    volume = x.to_dense(fill=fill)
    if op.kind == "conv3d":
        y = F.conv3d(volume, weight, bias, op.stride, op.padding, 1, op.groups)
    elif op.kind == "conv_transpose3d":
        sizes = zip(op.stride, op.padding, op.kernel, strict=True)
        extra = [s + 2 * p - k for s, p, k in sizes]  # exactly `stride` times as many sites
        y = F.conv_transpose3d(volume, weight, bias, op.stride, op.padding, extra, op.groups)
    elif op.kind == "max_pool3d":
        y = F.max_pool3d(volume, op.kernel, op.stride, op.padding)
    else:
        border = [p for p in reversed(op.padding) for _ in range(2)]
        y = F.avg_pool3d(F.pad(volume, border), op.kernel, op.stride)
    return x.with_features(x.cells.gather(y, stride=stride), stride=stride)


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
    compute: Apply = apply,
) -> Results:
    """Values of an operation, and gradients of a fixed weighted sum of them.

    Args:
        backend: what computes.
        case: the operation and the size of the cells.
        inputs: float64 on the CPU; moved to `dtype` and the device of `cells`.
        cells: visible cells, on the device to compute on.
        dtype: what the inputs are cast to.
        order: which of the fixed weights each cell gets; default: one after the other.
        compute: how.
    """
    device = cells.visible.device
    leaves = Inputs(*(t.detach().to(device, dtype).requires_grad_() for t in inputs))
    x = volume_of(case, leaves.features, cells=cells, backend=backend)
    y = compute(backend, case.op, x, leaves.weight, leaves.bias)
    require(y.cells is cells, "the result must be on the cells of the input")
    require(y.features.is_contiguous(), "features must be contiguous, channels last")
    shape, want = tuple(y.features.shape), (cells.n, *y.edge, case.op.channels[1])
    require(shape == want, f"features have shape {shape}, expected {want}")
    generator = torch.Generator().manual_seed(3)
    upstream = torch.randn(y.features.shape, generator=generator, dtype=torch.float64)
    upstream = upstream if order is None else upstream[order]
    total = (y.features * upstream.to(y.features)).sum()
    names = Inputs._fields if case.op.kind in CONVOLUTIONS else ("features",)
    named = {f"gradient of {name}": getattr(leaves, name) for name in names}
    return {"values": y.features.detach(), **_gradients(total, named)}


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
    compute: Apply = apply,
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
        stages.append(compute(backend, case.op, stages[-1], weight, bias).map(torch.tanh))
    skip, deep, last = stages[1], stages[3], stages[-1]
    total = (skip + deep).features.square().sum() + last.features.sum()
    leaves = [features, *(t for layer in layers for t in layer)]
    named = {f"gradient {i}": one for i, one in enumerate(leaves)}
    return {"values": last.features.detach(), **_gradients(total, named)}


def _gradients(total: Tensor, leaves: Results) -> Results:
    """Gradients of a sum, under the leaves' names; AssertionError where one has none."""
    require(total.requires_grad, f"the result has no graph behind it: no {', no '.join(leaves)}")
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    named: Results = {}
    for name, gradient in zip(leaves, found, strict=True):
        if gradient is None:
            raise AssertionError(f"{name} is missing: the result does not depend on it")
        named[name] = gradient
    return named


def assert_close(actual: Results, expected: Results, *, tolerance: float) -> float:
    """Largest error; raises AssertionError where a result is missing, not finite or too far off.

    The tolerance is a share of the largest expected value, or of 1 where that is smaller.
    """
    errors = [
        largest_error(actual.get(name), want, name=name, tolerance=tolerance)
        for name, want in expected.items()
    ]
    return max(errors, default=0.0)


def assert_same(actual: Results, expected: Results) -> None:
    """Assert that results are equal to the last bit."""
    for name, want in expected.items():
        require(torch.equal(actual[name], want), f"{name}: not the same bits")
