"""A CUDA graph of what is run once, and what cannot be in one."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d.run.host_state import host_state
from ssl3d.run.run_error import RunError

WARM_UP = 3
"""Runs before the graph is captured: libraries choose their kernels and memory in them."""

Outputs = Mapping[str, Tensor]
Run = Callable[[], Outputs]
Capture = Callable[[Run], tuple[Outputs, Callable[[], None]]]


def on_cuda(module: nn.Module) -> Capture:
    """Capture a CUDA graph, after some runs on a stream beside (PyTorch's notes on CUDA graphs).

    The last of these refuses what a graph cannot hold, or would hold as it was in one step: torch
    does not recover from a capture that fails.

    Args:
        module: what runs.

    Raises:
        RuntimeError: a run waits for the device, draws on the host, or changes what it keeps there.
        RunError: the capture itself failed.
    """

    def capture(run: Run) -> tuple[Outputs, Callable[[], None]]:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                run()
            with waiting_refused(), draws_refused(), changes_refused(module):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        try:
            # The thread that pins batches allocates meanwhile: by default that spoils a capture.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                outputs = run()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise RunError(
                f"trainer.cuda_graph: a step could not be captured ({str(error).splitlines()[0]}): "
                "set it to false, and go on with --resume where there is a checkpoint"
            ) from error
        return outputs, graph.replay

    return capture


@contextmanager
def waiting_refused() -> Iterator[None]:
    """What waits for the device inside raises a RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode")
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


@contextmanager
def changes_refused(module: nn.Module) -> Iterator[None]:
    """What changes a part of `module` on the host inside raises a RuntimeError."""
    before = host_state(module)
    yield
    for name, state in host_state(module).items():
        if before.get(name) != state:
            raise RuntimeError(f"{name} keeps something on the host that changes with each step")


def _host_states() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state()
    of_numpy = np.asarray(keys).tobytes(), rest
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), of_numpy
