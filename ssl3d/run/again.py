"""Parts of a network that are computed again in the backward pass, and keep less until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def compute_again(network: nn.Module) -> None:
    """Have each part of a network keep what goes in, and compute the rest again when needed.

    Parts are the modules that it holds, those of a list each by itself: its stages.
    """
    for part in network.children():
        for one in part if isinstance(part, nn.ModuleList) else (part,):
            _wrap(one)


def _wrap(module: nn.Module) -> None:
    forward = module.forward

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _buffers_kept(module)

    @wraps(forward)
    def again(*args: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **named)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **named)

    module.forward = again


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """A second pass over a batch leaves running statistics as the first one left them."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:  # torch ends the second pass by an exception, once it has what it needs
        with torch.no_grad():
            for buffer, was in zip(module.buffers(), before, strict=True):
                buffer.copy_(was)
