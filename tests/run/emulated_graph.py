"""A CUDA graph on a CPU: aten operations are recorded with their tensors, and run again in these.

As in a graph, what Python did while it was recorded is done no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssl3d.run.cuda_capture import WARM_UP, Capture, Outputs, Run, changes_refused

Recorded = tuple[Any, tuple[Any, ...], dict[str, Any], Any]


class Recorder(TorchDispatchMode):
    """Keeps what is computed inside, but for views, which need not be made again."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Recorded] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if _writes(func) or all(one.alias_info is None for one in func._schema.returns):
            self.operations.append((func, args, kwargs, out))
        return out


def _writes(func: Any) -> bool:
    infos = [one.alias_info for one in func._schema.arguments]
    return any(info is not None and info.is_write for info in infos)


@torch.no_grad()
def replay(operations: list[Recorded]) -> None:
    """Compute them again, results in the memory of the first time."""
    for func, args, kwargs, out in operations:
        new = func(*args, **kwargs)
        if _writes(func):
            continue
        for memory, value in zip(tree_leaves(out), tree_leaves(new), strict=True):
            if isinstance(memory, Tensor) and memory.data_ptr() != value.data_ptr():
                memory.copy_(value)


def emulated(captures: list[int]) -> Callable[[nn.Module], Capture]:
    """In place of `on_cuda`, with its check of what parts keep on the host; counts captures."""

    def on_cpu(module: nn.Module) -> Capture:
        def capture(run: Run) -> tuple[Outputs, Callable[[], None]]:
            for _ in range(WARM_UP):
                run()
            # Draws are not looked at: layers draw from their device's generator, here the host's.
            with changes_refused(module):
                run()
            recorder = Recorder()
            with recorder:
                outputs = run()
            captures.append(len(recorder.operations))
            return outputs, lambda: replay(recorder.operations)

        return capture

    return on_cpu
