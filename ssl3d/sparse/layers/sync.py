"""Batch statistics over all ranks, by a reduction that is differentiable on any device."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ssl3d.precision import at_least_single
from ssl3d.sparse.nothing import touching


def world_size() -> int:
    """Ranks that train together; 1 where no process group is set up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class OneSiteOfAllRanks(ValueError):
    """All ranks together hold one site, which has no variance."""


class _AllReduceSum(torch.autograd.Function):
    """Sum over ranks; the gradient of a sum that all ranks see is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        grad = grad.contiguous().clone()
        dist.all_reduce(grad)
        return grad


def all_reduce_sum(x: Tensor) -> Tensor:
    """Differentiable sum of `x` over ranks; `x` itself where there is one rank."""
    if world_size() == 1:
        return x
    reduced: Tensor = _AllReduceSum.apply(x)  # type: ignore[no-untyped-call]
    return reduced


def synchronised_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Training-mode batch norm over ranks, with the signature of `F.batch_norm`.

    `x` is (n, C) or (B, C, ...); ranks may hold different numbers of sites. The variance is taken
    around the common mean, in a second reduction, so that it does not cancel.

    Where no rank has a site, nothing is normalised, and running statistics stay.

    Raises:
        OneSiteOfAllRanks: one site over all ranks.
    """
    assert training
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
    full = at_least_single(x)
    sites = x.numel() // x.shape[1]
    total = all_reduce_sum(torch.cat([full.new_full((1,), sites), full.sum(axes)]))
    count, mean = total[0].detach(), total[1:] / total[0].detach()
    if sites < 2 and count < 2:  # a rank with more knows the answer, and asks its device nothing
        if count == 0:
            return touching(x, weight, bias)
        raise OneSiteOfAllRanks("batch norm needs more than one site over all ranks, got 1")
    centred = full - mean.view(shape)
    variance = all_reduce_sum(centred.square().sum(axes)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var), momentum)
    scale = weight * torch.rsqrt(variance + eps)
    return (centred * scale.view(shape) + bias.view(shape)).to(x.dtype)
