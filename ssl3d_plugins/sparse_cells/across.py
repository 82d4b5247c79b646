"""Convolutions that look past a cell.

A convolution leads from fine sites down to coarse ones, its gradient leads back up, and a
transposed convolution is that gradient. So two steps, `down` and `up`, serve both operations,
forward and backward, with the same weight.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ssl3d.geometry import Operation
from ssl3d.precision import no_autocast
from ssl3d.sparse import CellGrid
from ssl3d.sparse.layout import channels_last
from ssl3d_plugins.sparse_cells import halo_conv, pairs, winograd
from ssl3d_plugins.sparse_cells.fused import conv as fused


class Step(Protocol):
    """(N, e…, C) and a weight (O, I/groups, k…) to (N, C', e'…)."""

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, /, *, cells: CellGrid, op: Operation
    ) -> Tensor: ...


class WeightGradient(Protocol):
    """Fine and coarse sites, one of them a gradient, to the gradient of the weight."""

    def __call__(
        self, fine: Tensor, coarse: Tensor, weight: Tensor, /, *, cells: CellGrid, op: Operation
    ) -> Tensor: ...


class Way(NamedTuple):
    """One way to convolve across cells.

    Attributes:
        name: in tables of measured times.
        down: from fine sites to coarse ones.
        up: back.
        weight_gradient: of the same weight.
    """

    name: str
    down: Step
    up: Step
    weight_gradient: WeightGradient


HALO = Way("halo", halo_conv.down, halo_conv.up, halo_conv.weight_gradient)
PAIRS = Way("pairs", pairs.down, pairs.up, pairs.weight_gradient)
WINOGRAD = Way("winograd", winograd.down, winograd.up, winograd.weight_gradient)
FUSED = Way("fused", fused.down, fused.up, fused.weight_gradient)
WAYS = (HALO, PAIRS, WINOGRAD, FUSED)


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    cells: CellGrid,
    op: Operation,
    way: Way,
) -> Tensor:
    """(N, e…, I) and a weight in torch layout to (N, e'…, O), e' the edge after `op`."""
    if torch.compiler.is_compiling() and way is HALO:
        halo_conv.make_tables(features, cells=cells, op=op)
    y = AcrossCells.apply(features, weight, bias, cells, op, way)  # type: ignore[no-untyped-call]
    return channels_last(y)


class AcrossCells(torch.autograd.Function):
    """One step forward and the other one as its gradient.

    The result is channels-first because a view may not leave a Function: layers that work in
    place could not be used on it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        cells: CellGrid,
        op: Operation,
        way: Way,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.cells, ctx.op, ctx.way = cells, op, way
        step = way.down if op.kind == "conv3d" else way.up
        return step(x, weight, bias, cells=cells, op=op)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        cells, op, way = ctx.cells, ctx.op, ctx.way
        grad = channels_last(grad)
        grad_x = grad_weight = grad_bias = None
        both = ctx.needs_input_grad[0] and ctx.needs_input_grad[1]
        with no_autocast(grad):
            if both and way is HALO and halo_conv.at_once(op):
                grad_x, grad_weight = halo_conv.gradients(x, grad, weight, cells=cells, op=op)
                grad_x = channels_last(grad_x)
            elif ctx.needs_input_grad[0]:
                step = way.up if op.kind == "conv3d" else way.down
                grad_x = channels_last(step(grad, weight, None, cells=cells, op=op))
            if ctx.needs_input_grad[1] and grad_weight is None:
                fine, coarse = (x, grad) if op.kind == "conv3d" else (grad, x)
                grad_weight = way.weight_gradient(fine, coarse, weight, cells=cells, op=op)
            if ctx.needs_input_grad[2]:
                grad_bias = grad.sum((0, 1, 2, 3))
        return grad_x, grad_weight, grad_bias, None, None, None
