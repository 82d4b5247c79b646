"""Weights in autocast's precision, all in one operation each way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ssl3d.precision import autocast_dtype
from ssl3d.sparse.layers.sync import world_size

CAST = nn.Linear | nn.modules.conv._ConvNd
"""Layers whose operations autocast computes in half precision."""


def cast_at_once(module: nn.Module, *given: Any, **options: Any) -> Any:
    """`module(*given, **options)`, the same to the last bit as under autocast alone.

    There each weight is cast by itself, and so is its gradient: for a small batch a third of a
    step's operations. With several ranks that is right, since a gradient is sent as soon as it is
    there. A module that is compiled casts better by itself.
    """
    weights = dict(_weights(module)) if world_size() == 1 else {}
    half = autocast_dtype(next(iter(weights.values())).device) if weights else None
    if half is None or torch.compiler.is_compiling() or module._compiled_call_impl is not None:
        return module(*given, **options)
    halves = _Cast.apply(half, *weights.values())  # type: ignore[no-untyped-call]
    return functional_call(module, dict(zip(weights, halves, strict=True)), given, options)


def _weights(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Those that autocast casts, by name."""
    for name, owner in module.named_modules():
        if isinstance(owner, CAST):
            for own, parameter in owner.named_parameters(recurse=False):
                if parameter.dtype == torch.float32:
                    yield f"{name}.{own}" if name else own, parameter


class _Cast(torch.autograd.Function):
    """Weights in single precision to half; their gradients back."""

    @staticmethod
    def forward(ctx: Any, half: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG004
        return _copied(weights, dtype=half)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG004
        return None, *_copied(grads, dtype=torch.float32)


def _copied(tensors: tuple[Tensor, ...], *, dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(one, dtype=dtype) for one in tensors]
    torch._foreach_copy_(copies, tensors)
    return tuple(copies)
