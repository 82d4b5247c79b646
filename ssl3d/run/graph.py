"""Forward and backward as one CUDA graph, which is launched as a whole. Not measured yet."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from ssl3d.run.gate import Buffers
from ssl3d.run.run_error import RunError
from ssl3d.run.task import Batch, Task

WARM_UP = 3
"""Steps before the graph is captured: libraries choose their kernels and memory in them."""

Outputs = Mapping[str, Tensor]
Run = Callable[[], Outputs]
Capture = Callable[[Run], tuple[Outputs, Callable[[], None]]]


class LaidOut(NamedTuple):
    """A batch as tensors, and all else that it holds, as bytes: what must be alike."""

    tensors: tuple[Tensor, ...]
    rest: bytes


class GraphedStep:
    """Forward and backward of a micro-batch, captured once; each batch is copied into its memory.

    What the draw decides, tables of cells above all, is computed inside of the graph.

    Args:
        step: forward and backward of a batch; gives the module's answer.
        module: whose gradients and statistics these are.
        capture: gives what a run answers, and what runs it again.

    Raises:
        RunError: a batch has other shapes, or other numbers on the host, than the first one.
    """

    def __init__(
        self, step: Callable[[Batch], Outputs], *, module: nn.Module, capture: Capture | None = None
    ) -> None:
        self._step, self._module = step, module
        self._capture = on_cuda if capture is None else capture
        self._first: LaidOut | None = None
        self._memory: tuple[Tensor, ...] = ()
        self._gradients: dict[nn.Parameter, Tensor | None] = {}

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The module's answer, without gradient; gradients lie at the parameters."""
        given = laid_out(batch)
        if self._first is None:
            self._begin(batch, given)
        elif alike(given) != alike(self._first):
            raise RunError(
                "trainer.cuda_graph: a batch shows other cells than the first one, in number, or "
                "one of the two has padding or lacks channels: a CUDA graph has one shape. Take "
                "volumes of the patch and more, with all channels, or set it to false"
            )
        for memory, tensor in zip(self._memory, given.tensors, strict=True):
            memory.copy_(tensor, non_blocking=True)
        self._replay()
        for parameter, gradient in self._gradients.items():
            parameter.grad = gradient
        return {name: value.detach().clone() for name, value in self._outputs.items()}

    def _begin(self, batch: Batch, given: LaidOut) -> None:
        static = copy.deepcopy(batch)
        self._first, self._memory = given, laid_out(static).tensors
        parameters = [one for one in self._module.parameters() if one.requires_grad]

        def run() -> Outputs:
            for parameter in parameters:
                parameter.grad = None
            # The same memory, and none of the tables that were made of what lay there before.
            return self._step(copy.deepcopy(static, {id(one): one for one in self._memory}))

        buffers = Buffers(self._module)
        buffers.keep()
        devices = {one.device for one in parameters if one.is_cuda}
        # What layers draw in the first step is what they would draw in a step that was not first.
        with torch.random.fork_rng(devices=devices):
            self._outputs, self._replay = self._capture(run)
        buffers.put_back(unless=torch.zeros_like(self._memory[0].flatten()[0], dtype=torch.bool))
        self._gradients = {one: one.grad for one in parameters}


def check_graph(fabric: Fabric, *, task: Task) -> None:
    """Raise RunError where a step cannot be a CUDA graph."""
    problem = task.not_static()
    if fabric.device.type != "cuda":
        problem = "there is no CUDA here"
    if fabric.world_size > 1:
        problem = f"{fabric.world_size} ranks train together, and a graph is of one device"
    if problem is not None:
        raise RunError(f"trainer.cuda_graph: {problem}: set it to false")


def laid_out(batch: Batch) -> LaidOut:
    """A batch taken apart; numbers and names of samples may differ, and are left out."""
    other: Any = copy.copy(batch)
    other.samples, other.sources = (), ()
    tensors: list[Tensor] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, held: Any) -> int | None:
            if not isinstance(held, Tensor):
                return None
            tensors.append(held)
            return len(tensors)

    written = io.BytesIO()
    pickler = Pickler(written)
    pickler.fast = True  # by value: what is one object here and two there is alike
    pickler.dump(other)
    return LaidOut(tuple(tensors), written.getvalue())


def alike(one: LaidOut) -> tuple[Any, ...]:
    """What is the same of all batches of a graph."""
    return one.rest, [(tensor.shape, tensor.dtype) for tensor in one.tensors]


def on_cuda(run: Run) -> tuple[Outputs, Callable[[], None]]:
    """Capture a CUDA graph, after some runs on a stream beside (PyTorch's notes on CUDA graphs)."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return outputs, graph.replay
