"""How a batch is laid out: what is the same of all batches that one CUDA graph can compute."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ssl3d.run.task import Batch

WHICH = ("samples", "sources", "spacings")
"""What says which samples a batch is of: they may differ."""


class Layout(NamedTuple):
    """Shapes of a batch's tensors, and all else that it holds, as bytes."""

    rest: bytes
    tensors: tuple[tuple[torch.Size, torch.dtype], ...]


def laid_out(batch: Batch) -> tuple[Layout, tuple[Tensor, ...]]:
    """The layout of a batch, and its tensors."""
    other: Any = copy.copy(batch)
    for name in WHICH:
        if hasattr(other, name):
            setattr(other, name, ())
    tensors: dict[int, Tensor] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, held: Any) -> int | None:
            """Its number: one tensor at two places is another layout than two."""
            if not isinstance(held, Tensor):
                return None
            tensors.setdefault(id(held), held)
            return list(tensors).index(id(held))

    written = io.BytesIO()
    pickler = Pickler(written)
    pickler.fast = True  # by value: what is one object here and two there is alike
    pickler.dump(other)
    shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors.values())
    return Layout(written.getvalue(), shapes), tuple(tensors.values())
