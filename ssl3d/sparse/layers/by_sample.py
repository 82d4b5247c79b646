"""Batch norm over the rows of each sample by itself, which is instance norm of visible sites."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def norm_by_sample(
    rows: Tensor, weight: Tensor | None, bias: Tensor | None, *, counts: Sequence[int], eps: float
) -> Tensor:
    """Normalise the rows (T, C) of each sample over themselves.

    Args:
        rows: sorted by sample.
        weight: (C,), or None; `bias` likewise.
        counts: rows of each sample, none or two and more.
        eps: added to the variance.
    """
    if torch.compiler.is_compiling():  # which needs no help to write parts into one tensor
        parts = torch.split(rows, list(counts))
        normed = [
            F.batch_norm(part, None, None, weight, bias, True, 0.0, eps)
            for part in parts
            if len(part)
        ]
        return torch.cat(normed)
    by_sample: Tensor = _BySample.apply(  # type: ignore[no-untyped-call]
        rows, weight, bias, [count for count in counts if count], eps
    )
    return by_sample


class _BySample(torch.autograd.Function):
    """A kernel of torch for each sample, which all write into one tensor.

    One reshape to a channel for each sample and channel would be fewer kernels, and copy the map
    into that order and back, each way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        counts: list[int],
        eps: float,
    ) -> Tensor:
        result = torch.empty_like(rows)
        exact = torch.promote_types(rows.dtype, torch.float32)
        saved = [rows.new_empty(rows.shape[1], dtype=exact) for _ in counts for _ in range(2)]
        for part, into, mean, scale in zip(
            torch.split(rows, counts),
            torch.split(result, counts),
            saved[::2],
            saved[1::2],
            strict=True,
        ):
            torch.ops.aten.native_batch_norm.out(
                part,
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                eps,
                out=into,
                save_mean=mean,
                save_invstd=scale,
            )
        ctx.save_for_backward(rows, weight, *saved)
        ctx.counts, ctx.eps = counts, eps
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, *saved = ctx.saved_tensors
        affine = weight is not None
        found = [
            torch.ops.aten.native_batch_norm_backward(
                g, x, weight, None, None, mean, scale, True, ctx.eps, [True, affine, affine]
            )
            for g, x, mean, scale in zip(
                torch.split(grad.contiguous(), ctx.counts),
                torch.split(rows, ctx.counts),
                saved[::2],
                saved[1::2],
                strict=True,
            )
        ]
        grad_rows = torch.cat([one[0] for one in found])
        if not affine:
            return grad_rows, None, None, None, None
        grad_weight, grad_bias = functools.reduce(torch._foreach_add, (one[1:] for one in found))
        return grad_rows, grad_weight, grad_bias, None, None
