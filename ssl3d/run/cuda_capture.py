"""A CUDA graph of what is run once, and what cannot be in one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

WARM_UP = 3
"""Runs before the graph is captured: libraries choose their kernels and memory in them."""

Outputs = Mapping[str, Tensor]
Run = Callable[[], Outputs]
Capture = Callable[[Run], tuple[Outputs, Callable[[], None]]]


def on_cuda(*, checked: bool) -> Capture:
    """Capture a CUDA graph, after some runs on a stream beside (PyTorch's notes on CUDA graphs).

    Args:
        checked: True: what waits for the device, or draws on the host, raises in a run before:
            torch does not recover from every capture that fails, and a draw would stay what it was.
    """

    def capture(run: Run) -> tuple[Outputs, Callable[[], None]]:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                run()
            if checked:
                with waiting_refused(), draws_refused():
                    run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # The thread that pins batches allocates meanwhile: by default that spoils a capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = run()
        return outputs, graph.replay

    return capture


@contextmanager
def waiting_refused() -> Iterator[None]:
    """What waits for the device inside raises a RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def draws_refused() -> Iterator[None]:
    """What draws from a global generator of the host inside raises a RuntimeError."""
    before = _host_states()
    yield
    if _host_states() != before:
        raise RuntimeError("it draws at random on the host")


def _host_states() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state()
    of_numpy = np.asarray(keys).tobytes(), rest
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), of_numpy
