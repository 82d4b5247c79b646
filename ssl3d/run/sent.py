"""Numbers of a step on their way from the device to the host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ssl3d.run.ranks import world_size


class Verdict(NamedTuple):
    """What became of a step, alike on all ranks.

    Attributes:
        finite: False where it was skipped.
        norm: of the gradient before clipping.
        bad_losses: micro-batches of all ranks whose loss is not finite.
        scale: of the losses, in half precision; else 1.
        stop: True where a rank was asked to stop.
        sums: of a `Tally`, over ranks.
    """

    finite: bool
    norm: float
    bad_losses: int
    scale: float
    stop: bool
    sums: list[float]


def send(
    *, norm: Tensor, losses: list[Tensor], scale: Tensor | None, stop: bool, sums: Tensor
) -> Callable[[], Verdict]:
    """Reduce over ranks and copy to the host, without waiting; the answer waits and reads.

    Args:
        norm: of the reduced gradient.
        losses: of this rank's micro-batches.
        scale: of the losses, in half precision.
        stop: True where this rank was asked to stop.
        sums: of a `Tally`.
    """
    world = world_size()
    bad = (~torch.isfinite(torch.stack(losses))).sum()
    one = torch.ones_like(norm) if scale is None else scale
    votes = torch.full_like(norm, float(stop))
    head = torch.stack([part.to(sums.dtype) for part in (norm, bad, one, votes)])
    vector = torch.cat([head, sums])
    if world > 1:
        dist.all_reduce(vector)
    read = _copied(vector)

    def verdict() -> Verdict:
        norm, bad, scale, votes, *sums = read()
        finite = math.isfinite(norm)
        return Verdict(finite, norm / world, int(bad), scale / world, votes > 0, sums)

    return verdict


def _copied(vector: Tensor) -> Callable[[], list[float]]:
    """Begins the copy to the host; the answer waits for it."""
    if not vector.is_cuda:
        return vector.tolist
    host = torch.empty_like(vector, device="cpu", pin_memory=True)
    host.copy_(vector, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def read() -> list[float]:
        done.synchronize()
        numbers: list[float] = host.tolist()
        return numbers

    return read
