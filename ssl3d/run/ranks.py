"""What the ranks of a run tell each other; one process alone is the only rank."""

from __future__ import annotations

import platform
from typing import Any

import torch.distributed as dist


def rank() -> int:
    """Number of this rank, from 0."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """Number of ranks."""
    return dist.get_world_size() if _several() else 1


def ranks_here() -> int:
    """Number of ranks on this machine. All ranks must call it."""
    host = platform.node()
    return of_all_ranks(host).count(host)


def of_all_ranks(own: Any) -> list[Any]:
    """A plain value of each rank, in their order. All ranks must call it."""
    if not _several():
        return [own]
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, own)
    return parts


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
